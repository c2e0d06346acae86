package io.github.mla4j.benchmarks.peers;

import java.nio.file.Path;
import java.util.Optional;

/**
 * What is run.
 *
 * @param source a GGUF file that every engine reads
 * @param converted a conversion of it, which only mla4j reads
 * @param folder the source's weights as a Hugging Face folder, for engines that read no GGUF
 */
record Models(Path source, Optional<Path> converted, Path folder) {}
