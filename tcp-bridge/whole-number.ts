import * as v from "valibot";

/** A variable that is a whole number, `min`..`max`. */
export function wholeNumber(min: number, max: number, byDefault: number) {
  const allowed = `allowed is a whole number, ${min}..${max}`;
  return v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,15}$/, allowed),
      v.transform(Number),
      v.minValue(min, allowed),
      v.maxValue(max, allowed),
    ),
    String(byDefault),
  );
}
