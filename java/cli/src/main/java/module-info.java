/** The {@code mla} command. */
module io.github.mla4j.cli {
  requires com.fasterxml.jackson.core;
  requires info.picocli;

  opens io.github.mla4j.cli to
      info.picocli;
}
