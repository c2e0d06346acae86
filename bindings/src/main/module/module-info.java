/** JavaCPP peers of the C API, {@code mla/mla.h}; generated at build time. */
module io.github.mla4j.bindings {
  requires transitive org.bytedeco.javacpp;

  exports io.github.mla4j.bindings;
  exports io.github.mla4j.bindings.global;
  exports io.github.mla4j.bindings.presets;
}
