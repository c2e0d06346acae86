package io.github.mla4j;

import java.util.List;

/**
 * The machine and the choice made on it.
 *
 * @param version of the native library
 * @param isa the instruction set in use
 * @param isaReason why it was chosen
 * @param isas those that this machine can use, best first
 * @param cores that the process may use
 * @param threads that a session uses by default
 * @param memoryNodes that the library's threads are divided among, each on the cores of its own
 * @param memoryNodesReason why so many
 * @param backends that can be used
 * @param gpus that this build's kernels could run on
 * @param gpuReason why there is none; empty where there are
 * @param json all of it as the library reports it
 */
public record SystemInfo(
    String version,
    String isa,
    String isaReason,
    List<String> isas,
    int cores,
    int threads,
    int memoryNodes,
    String memoryNodesReason,
    List<String> backends,
    List<Gpu> gpus,
    String gpuReason,
    String json) {}
