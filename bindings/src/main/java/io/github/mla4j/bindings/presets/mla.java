package io.github.mla4j.bindings.presets;

import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;
import org.bytedeco.javacpp.tools.Info;
import org.bytedeco.javacpp.tools.InfoMap;
import org.bytedeco.javacpp.tools.InfoMapper;

/**
 * How JavaCPP reads {@code mla/mla.h}: functions and constants become static members of {@code
 * io.github.mla4j.bindings.global.mla}, structs become peers, handles stay numbers. The class is
 * lower case because JavaCPP derives the native library's name (libjnimla) from it.
 */
@Properties(
    value = {
      @Platform(
          include = "mla/mla.h",
          link = "mla",
          define = "STRING_BYTES_CHARSET \"UTF-8\""), // not the platform's charset
      // Natives with the GPU's kernels lie beside the plain ones and are taken where they are.
      @Platform(value = "linux-x86_64", extension = "-gpu")
    },
    target = "io.github.mla4j.bindings",
    global = "io.github.mla4j.bindings.global.mla")
@NoException // nothing is thrown across the C API
public class mla implements InfoMapper {
  @Override
  public void map(InfoMap infoMap) {
    infoMap
        .put(new Info("MLA_API").cppTypes().annotations())
        .put(new Info("mla_roofline").pointerTypes("MlaRoofline"))
        .put(new Info("mla_model_info").pointerTypes("MlaModelInfo"))
        .put(new Info("mla_cache_options").pointerTypes("MlaCacheOptions"))
        .put(new Info("mla_work").pointerTypes("MlaWork"))
        .put(new Info("mla_profile").pointerTypes("MlaProfile"))
        .put(new Info("mla_profile_row").pointerTypes("MlaProfileRow"))
        .put(new Info("mla_session_options").pointerTypes("MlaSessionOptions"))
        .put(new Info("mla_batch_options").pointerTypes("MlaBatchOptions"))
        .put(new Info("mla_sampler_options").pointerTypes("MlaSamplerOptions"))
        .put(
            new Info("mla_log_callback")
                .valueTypes("MlaLogCallback")
                .pointerTypes("MlaLogCallback"));
  }
}
