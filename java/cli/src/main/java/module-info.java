/** The {@code mla} command. */
module io.github.mla4j.cli {
  requires com.fasterxml.jackson.core;
  requires info.picocli;
  requires io.github.mla4j.convert;
  requires io.github.mla4j.core;
  requires io.github.mla4j.eval;

  opens io.github.mla4j.cli to
      info.picocli;
}
