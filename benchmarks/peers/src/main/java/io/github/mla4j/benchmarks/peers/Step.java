package io.github.mla4j.benchmarks.peers;

/**
 * Tokens that a peer evaluates: those of the job from one position on.
 *
 * @param at tokens that the cache holds beforehand; a peer that holds more forgets the others
 * @param count tokens that are evaluated
 * @param singly whether they come one at a time, each waiting for its logits; else as a prompt
 * @param test what the time is the result of; empty for a warm-up or a filling
 */
public record Step(int at, int count, boolean singly, String test) {}
