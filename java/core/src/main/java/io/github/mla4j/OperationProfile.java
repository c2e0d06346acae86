package io.github.mla4j;

/**
 * One operation's part of a {@link Profile}.
 *
 * @param operation its name: attention, MLP down, ...
 * @param seconds that it was worked at: the mean of the threads
 * @param waitingSeconds that threads waited at its end for those still at work: the mean of the
 *     threads
 * @param work that there was to do
 */
public record OperationProfile(
    String operation, double seconds, double waitingSeconds, Work work) {}
