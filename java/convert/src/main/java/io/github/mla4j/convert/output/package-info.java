/** Writing of models as GGUF: the converted form, and plain models under llama.cpp's names. */
package io.github.mla4j.convert.output;
