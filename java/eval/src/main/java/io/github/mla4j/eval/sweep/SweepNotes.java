package io.github.mla4j.eval.sweep;

import io.github.mla4j.eval.Machine;
import java.util.List;

/** How and where a sweep was measured, so that its numbers can be judged and had again. */
final class SweepNotes {
  private SweepNotes() {}

  static String of(Sweep sweep) {
    SweepSettings settings = sweep.settings();
    StringBuilder notes = new StringBuilder("<h2>How it was measured</h2>\n<dl>\n");
    notes.append(
        item(
            "Bytes per token",
            "of a cache of %,d tokens: rows, scales, padding, scalars of keys, and the share of the "
                + "first and newest tokens that are held in f16 besides; in a long context that share is "
                + "nothing.",
            settings.context()));
    notes.append(
        item(
            "Effective bits",
            "8 times those bytes over the numbers that the model's own layers cache for a token "
                + "(rotary keys and latent; of a plain model keys and values). A conversion caches "
                + "fewer numbers, so compare models by bytes."));
    notes.append(
        item(
            "Quality",
            "%s of %,d tokens, each begun with an empty cache; KL(teacher || model) in nats at "
                + "every position predicted, and how often both find the same token the likeliest. "
                + "The teacher is %s with an f16 cache.",
            settings.windows(),
            settings.context(),
            settings.teacher().path()));
    notes.append(
        item(
            "Speed",
            "at each depth one token that is not timed, then %d single ones, of which the median "
                + "counts, then up to %d together; %d threads.",
            DepthProbe.DECODED,
            DepthProbe.PREFILLED,
            settings.threads()));
    notes.append(
        item(
            "Peak memory",
            "cache, in whole pages, and scratch memory at the greatest depth. The process's peak "
                + "counts what it had resident, weights of model and teacher included."));
    shallow(sweep).forEach(note -> notes.append(item("Left out", "%s", note)));
    notes.append("</dl>\n<h2>Models</h2>\n<dl>\n");
    for (SweepModel model : sweep.models()) {
      notes.append(
          item(
              model.label(),
              "%,d parameters, %s, %,d numbers cached a token, a context of %,d tokens; %s, %,d bytes",
              model.parameters(),
              model.converted() ? "converted to a latent" : "plain attention",
              model.elementsPerToken(),
              model.contextLength(),
              model.file().path(),
              model.file().bytes()));
    }
    Machine machine = sweep.machine();
    notes.append("</dl>\n<h2>Where</h2>\n<dl>\n");
    notes.append(
        item("Machine", "%s, %d cores, %s", machine.cpu(), machine.cores(), machine.isa()));
    notes.append(
        item("Software", "mla %s, Java %s, %s", machine.version(), machine.java(), machine.os()));
    notes.append(item("Text", "%s (SHA-256 %s)", settings.data(), settings.dataSha256()));
    notes.append(item("Date", "%s", sweep.date()));
    notes.append(Markup.format("<dt>Command</dt><dd><code>%s</code></dd>\n", sweep.command()));
    return notes.append("</dl>\n").toString();
  }

  /** Depths that a model has no room for, in words. */
  private static List<String> shallow(Sweep sweep) {
    return sweep.models().stream()
        .flatMap(model -> model.shallowNote(sweep.settings().depths()).stream())
        .toList();
  }

  private static String item(String term, String format, Object... values) {
    return Markup.format("<dt>%s</dt><dd>", term) + Markup.format(format, values) + "</dd>\n";
  }
}
