package io.github.mla4j;

/**
 * A GPU of this machine.
 *
 * @param device to run sessions on it
 * @param model as its maker calls it
 * @param capability CUDA's compute capability, as 9.0
 * @param memoryBytes in all
 * @param problem why it cannot be used; empty where it can
 */
public record Gpu(
    Device device, String model, String capability, long memoryBytes, String problem) {}
