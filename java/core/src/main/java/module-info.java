/** Models, sessions, tokens and text: the Java API of mla4j. */
module io.github.mla4j.core {
  requires ai.djl.tokenizers;
  requires java.desktop; // a type in a signature of the template engine
  requires com.fasterxml.jackson.databind;
  requires io.github.mla4j.bindings;
  requires jinjava;

  exports io.github.mla4j;
  exports io.github.mla4j.chat;
  exports io.github.mla4j.gguf;
  exports io.github.mla4j.tokenizer;
}
