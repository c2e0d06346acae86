/**
 * Models that can be converted: GGUF files, Hugging Face directories and the paper's converted
 * checkpoints, read one tensor at a time.
 */
package io.github.mla4j.convert.source;
