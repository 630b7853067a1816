// Looking inside a model while it reads, as minillm/model/inspect.py does.

/**
 * How much each position takes from each earlier one: [layer][head][position] -> weights of positions 0 to position.
 * `look` may switch heads off, of which there are no weights then.
 */
export function attentionWeights(model, ids, look = {}) {
  const { nLayer, nHead } = model.shape;
  const found = Array.from({ length: nLayer }, () => Array.from({ length: nHead }, () => []));
  const attention = (layer, head, weights) => found[layer][head].push(weights.slice());
  model.decoder.read(ids, model.newCache(), { ...look, attention });
  return found;
}

/** A `look` for `model.forward` with some heads switched off: they add nothing. `heads` are [layer, head] pairs. */
export function withoutHeads(heads) {
  const names = new Set(heads.map(String));
  return { off: (layer, head) => names.has(`${layer},${head}`) };
}
