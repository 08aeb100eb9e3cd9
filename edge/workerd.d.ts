/** The package has no types of its own. */
declare module "workerd" {
  /** The program's path. */
  const path: { readonly default: string };
  export default path;
}
