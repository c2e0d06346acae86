package io.github.mla4j.eval.sweep;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** A sweep as CSV (RFC 4180, but for lines that end by LF): a pair a line, depths as columns. */
public final class SweepCsv {
  private SweepCsv() {}

  /** The header and all finished pairs; what was not measured is empty. */
  public static String of(Sweep sweep) {
    List<Integer> depths = sweep.settings().depths();
    StringBuilder csv = new StringBuilder(line(header(depths)));
    List<SweepEntry> front = sweep.front();
    for (SweepEntry entry : sweep.results()) {
      csv.append(line(cells(sweep, entry, front.contains(entry))));
    }
    return csv.toString();
  }

  private static List<String> header(List<Integer> depths) {
    List<String> header =
        new ArrayList<>(
            List.of(
                "model",
                "cache",
                "bytes_per_token",
                "bytes_per_token_in_long_context",
                "share_of_source_f16",
                "effective_bits",
                "perplexity",
                "perplexity_stderr",
                "perplexity_ratio",
                "perplexity_ratio_stderr",
                "kld_mean",
                "kld_stderr",
                "kld_p99",
                "top1_agreement",
                "top1_agreement_stderr",
                "on_front",
                "peak_memory_bytes",
                "process_peak_bytes"));
    depths.forEach(depth -> header.add("decode_tokens_per_second_at_" + depth));
    depths.forEach(depth -> header.add("prefill_tokens_per_second_at_" + depth));
    return header;
  }

  private static List<String> cells(Sweep sweep, SweepEntry entry, boolean onFront) {
    CacheQuality quality = entry.quality();
    List<String> cells = new ArrayList<>(List.of(entry.model(), entry.cache()));
    for (double value :
        new double[] {
          entry.bytesPerToken(),
          entry.bytesPerTokenInLongContext(),
          sweep.shareOfSource(entry),
          entry.effectiveBits(),
          quality.perplexity(),
          quality.perplexityStderr(),
          quality.perplexityRatio(),
          quality.perplexityRatioStderr(),
          quality.kldMean(),
          quality.kldStderr(),
          quality.kldP99(),
          quality.top1Agreement(),
          quality.top1AgreementStderr()
        }) {
      cells.add(number(value));
    }
    cells.add(String.valueOf(onFront));
    cells.add(bytes(entry.peakMemoryBytes()));
    cells.add(bytes(entry.processPeakBytes()));
    for (int depth : sweep.settings().depths()) {
      cells.add(entry.speedAt(depth).map(at -> number(at.decodeTokensPerSecond())).orElse(""));
    }
    for (int depth : sweep.settings().depths()) {
      cells.add(entry.speedAt(depth).map(at -> number(at.prefillTokensPerSecond())).orElse(""));
    }
    return cells;
  }

  private static String line(List<String> cells) {
    return cells.stream().map(SweepCsv::quoted).collect(Collectors.joining(",", "", "\n"));
  }

  /** A cell as it is, or in quotes where it would not be one cell otherwise. */
  static String quoted(String cell) {
    boolean plain = cell.chars().noneMatch(c -> c == ',' || c == '"' || c == '\n' || c == '\r');
    return plain ? cell : '"' + cell.replace("\"", "\"\"") + '"';
  }

  private static String number(double value) {
    return Double.isFinite(value) ? String.valueOf(value) : "";
  }

  private static String bytes(long value) {
    return value == 0 ? "" : String.valueOf(value);
  }
}
