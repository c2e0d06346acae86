package io.github.mla4j.benchmarks.peers;

import java.util.List;

/**
 * What a peer's process is told on its standard input, as JSON.
 *
 * @param model the file or folder
 * @param cache the cache's type, as the peer calls it
 * @param flags of {@code flash}: flash attention
 * @param threads that compute
 * @param context tokens that the cache must have room for
 * @param tokens by position
 * @param pieces the tokens' texts, for peers that take text alone; empty where the model's
 *     vocabulary has no words that encode to themselves
 */
public record Job(
    String model,
    String cache,
    List<String> flags,
    int threads,
    int context,
    int[] tokens,
    List<String> pieces,
    List<Step> steps) {}
