/** Text to token ids and back, by the vocabulary that a GGUF file carries. */
package io.github.mla4j.tokenizer;
