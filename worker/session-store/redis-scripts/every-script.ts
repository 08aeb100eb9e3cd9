import { CHECK } from "./check.ts";
import { COUNT } from "./count.ts";
import { DELETE } from "./delete.ts";
import { DELETE_USER } from "./delete-user.ts";
import { END_SOME } from "./end-some.ts";
import { ISSUE } from "./issue.ts";
import { LIST_USER } from "./list-user.ts";
import { READ } from "./read.ts";
import type { RedisScript } from "./redis-script.ts";
import { REGISTER } from "./register.ts";
import { SWEEP } from "./sweep.ts";
import { TOUCH } from "./touch.ts";

/** Loaded together, so that none is ever missing while another is there: a batch would lose its order. */
export const EVERY_SCRIPT: readonly RedisScript[] = [
  CHECK,
  READ,
  TOUCH,
  REGISTER,
  ISSUE,
  DELETE,
  DELETE_USER,
  END_SOME,
  LIST_USER,
  COUNT,
  SWEEP,
];
