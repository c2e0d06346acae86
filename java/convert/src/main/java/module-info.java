/** Conversion of MHA/GQA models to latent attention: sources, recipes, calibration, training. */
module io.github.mla4j.convert {
  requires com.fasterxml.jackson.databind;
  requires transitive io.github.mla4j.core;
  requires java.desktop; // colours of the picture that XChart draws
  requires org.bytedeco.javacpp;
  requires org.bytedeco.openblas;
  requires transitive org.bytedeco.pytorch;
  requires org.knowm.xchart;

  exports io.github.mla4j.convert;
  exports io.github.mla4j.convert.heal;
  exports io.github.mla4j.convert.source;
  exports io.github.mla4j.convert.torch;
  exports io.github.mla4j.convert.train;
}
