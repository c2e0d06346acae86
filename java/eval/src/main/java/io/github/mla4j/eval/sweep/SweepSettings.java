package io.github.mla4j.eval.sweep;

import java.util.List;
import java.util.Optional;

/**
 * What a sweep was asked for, besides the models.
 *
 * @param data the text's file
 * @param dataSha256 of the text's bytes, in hexadecimal
 * @param context tokens of a window
 * @param limit windows at most; 0: all
 * @param teacher what divergence and agreement are measured against, with an f16 cache
 * @param caches labels, in the order of the reports
 * @param depths at which speed is measured, in tokens
 * @param threads that compute
 */
public record SweepSettings(
    String data,
    String dataSha256,
    int context,
    int limit,
    ModelFile teacher,
    List<String> caches,
    List<Integer> depths,
    int threads) {

  public SweepSettings {
    caches = List.copyOf(caches);
    depths = List.copyOf(depths);
  }

  /** Why quality measured by other settings is not quality by these, in words; empty if it is. */
  public Optional<String> qualityDifference(SweepSettings earlier) {
    if (!dataSha256.equals(earlier.dataSha256)) {
      return Optional.of("--data %s is not the text of that time".formatted(data));
    }
    if (context != earlier.context) {
      return Optional.of("--ctx was %d, now it is %d".formatted(earlier.context, context));
    }
    if (limit != earlier.limit) {
      return Optional.of("--limit was %s, now it is %s".formatted(earlier.windows(), windows()));
    }
    if (!teacher.equals(earlier.teacher)) {
      return Optional.of(
          teacher.path().equals(earlier.teacher.path())
              ? "the teacher %s has changed".formatted(teacher.path())
              : "the teacher was %s, now it is %s"
                  .formatted(earlier.teacher.path(), teacher.path()));
    }
    return Optional.empty();
  }

  /** The limit in words. */
  public String windows() {
    return limit == 0 ? "all windows" : limit + (limit == 1 ? " window" : " windows");
  }
}
