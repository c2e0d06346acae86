package io.github.mla4j.cli;

import io.github.mla4j.OperationProfile;
import io.github.mla4j.Profile;
import io.github.mla4j.Roofline;
import io.github.mla4j.Work;
import io.github.mla4j.eval.bench.BenchRow;
import java.io.PrintWriter;
import java.util.Locale;

/**
 * A test's time by operation. An operation's time is what threads worked at it; that they waited at
 * its end for one another is a row of its own, but counts in the operation's share of the roofline.
 */
final class BenchProfileTable {
  private final PrintWriter out;
  private final Profile profile;
  private final Roofline roofline;
  private final TextTable table =
      new TextTable(
          "operation", "µs/token", "share", "waiting", "MB/token", "M madds/token", "of roofline");

  private BenchProfileTable(PrintWriter out, Profile profile, Roofline roofline) {
    this.out = out;
    this.profile = profile;
    this.roofline = roofline;
  }

  static void print(PrintWriter out, BenchRow row, Profile profile, Roofline roofline) {
    new BenchProfileTable(out, profile, roofline).print(row);
  }

  private void print(BenchRow row) {
    out.printf("%n%s, %s, %s%n%n", row.model(), row.cache(), row.test().label());
    Work all = Work.NONE;
    for (OperationProfile each : profile.operations()) {
      if (each.seconds() > 0) {
        double time = each.seconds() + each.waitingSeconds();
        row(
            each.operation(),
            each.seconds(),
            perToken(each.waitingSeconds() * 1e6),
            each.work(),
            time);
      }
      all = all.plus(each.work());
    }
    row("waiting at barriers", profile.waitingSeconds(), "", Work.NONE, 0);
    row("waking threads, planning", profile.otherSeconds(), "", Work.NONE, 0);
    row("all", profile.seconds(), "", all, profile.seconds());
    table.print(out);
  }

  private void row(String name, double seconds, String waiting, Work work, double time) {
    boolean works = !work.equals(Work.NONE);
    table.row(
        name,
        perToken(seconds * 1e6),
        format("%.1f %%", 100 * seconds / profile.seconds()),
        waiting,
        works ? perToken(work.bytes() / 1e6) : "",
        works ? perToken(work.multiplyAdds() / 1e6) : "",
        works ? format("%.0f %%", 100 * roofline.leastSeconds(work) / time) : "");
  }

  private String perToken(double value) {
    double each = value / profile.tokens();
    return format(each < 10 ? "%.3f" : "%.1f", each);
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
