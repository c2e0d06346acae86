/** GGUF files: reading and writing metadata and tensors. */
package io.github.mla4j.gguf;
