import { parser } from "@prometheus-io/lezer-promql";

/** A selector of a query: the metric that it names, and the labels that it compares. */
export interface Selector {
  readonly metric: string;
  readonly labels: readonly string[];
}

/**
 * The selectors of a PromQL query, by Prometheus's own grammar.
 *
 * @throws Error the query is no PromQL, or has a selector without a metric's name
 */
export function selectorsOf(query: string): Selector[] {
  const selectors: { metric: string; labels: string[] }[] = [];
  parser.parse(query).iterate({
    enter({ name, from, to, node }) {
      if (node.type.isError) throw new Error(`no PromQL at ${from}: ${query}`);
      if (name === "VectorSelector") selectors.push({ metric: "", labels: [] });
      const selector = selectors.at(-1);
      if (selector === undefined) return;
      const text = query.slice(from, to);
      if (name === "Identifier" && node.parent?.name === "VectorSelector") selector.metric = text;
      if (name === "LabelName" && node.parent?.name === "UnquotedLabelMatcher") selector.labels.push(text);
    },
  });
  const nameless = selectors.find(({ metric }) => metric === "");
  if (nameless !== undefined) throw new Error(`a selector without a name: ${query}`);
  return selectors;
}
