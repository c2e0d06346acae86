/** Vocabularies of Hugging Face directories, as GGUF says the same. */
package io.github.mla4j.convert.vocabulary;
