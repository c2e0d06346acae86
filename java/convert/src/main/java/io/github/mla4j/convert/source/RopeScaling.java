package io.github.mla4j.convert.source;

/**
 * How rotary frequencies are stretched for contexts longer than those first trained on. The
 * formulas are those of Hugging Face's {@code modeling_rope_utils}.
 */
public sealed interface RopeScaling {

  /** The scaled copy of a head's inverse frequencies. */
  double[] scale(double[] inverse, int headLength, double base);

  /** Multiplies cosine and sine. */
  default double attentionFactor() {
    return 1;
  }

  /** No scaling. */
  record None() implements RopeScaling {
    @Override
    public double[] scale(double[] inverse, int headLength, double base) {
      return inverse.clone();
    }
  }

  /** Positions divided by a factor. */
  record Linear(double factor) implements RopeScaling {
    @Override
    public double[] scale(double[] inverse, int headLength, double base) {
      double[] scaled = new double[inverse.length];
      for (int i = 0; i < scaled.length; i++) {
        scaled[i] = inverse[i] / factor;
      }
      return scaled;
    }
  }

  /** Llama 3: long waves divided, short ones kept, a smooth passage between. */
  record Llama3(
      double factor, double lowFrequencyFactor, double highFrequencyFactor, double originalContext)
      implements RopeScaling {
    @Override
    public double[] scale(double[] inverse, int headLength, double base) {
      double[] scaled = new double[inverse.length];
      for (int i = 0; i < scaled.length; i++) {
        double turns = originalContext * inverse[i] / (2 * Math.PI);
        double keep =
            clamp((turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor));
        scaled[i] = (1 - keep) * inverse[i] / factor + keep * inverse[i];
      }
      return scaled;
    }
  }

  /**
   * YaRN (arXiv 2309.00071): a ramp over the pairs between those that turn {@code betaSlow} and
   * {@code betaFast} times in the original context.
   *
   * @param truncate whether the ramp's ends are rounded outwards to whole pairs
   */
  record Yarn(
      double factor,
      double originalContext,
      double betaFast,
      double betaSlow,
      double attentionFactor,
      boolean truncate)
      implements RopeScaling {

    /** The paper's attention factor for this stretch. */
    public static double defaultAttentionFactor(double factor) {
      return magnitude(factor, 1);
    }

    /** 1 + 0.1·scale·ln(factor), or 1 where nothing is stretched. */
    public static double magnitude(double factor, double scale) {
      return factor <= 1 ? 1 : 1 + 0.1 * scale * Math.log(factor);
    }

    @Override
    public double[] scale(double[] inverse, int headLength, double base) {
      double low = pairThatTurns(betaFast, headLength, base);
      double high = pairThatTurns(betaSlow, headLength, base);
      if (truncate) {
        low = Math.floor(low);
        high = Math.ceil(high);
      }
      low = Math.max(low, 0);
      high = Math.min(high, headLength - 1);
      double width = high == low ? 0.001 : high - low;
      double[] scaled = new double[inverse.length];
      for (int i = 0; i < scaled.length; i++) {
        double stretch = clamp((i - low) / width);
        scaled[i] = stretch * inverse[i] / factor + (1 - stretch) * inverse[i];
      }
      return scaled;
    }

    private double pairThatTurns(double times, int headLength, double base) {
      return headLength * Math.log(originalContext / (times * 2 * Math.PI)) / (2 * Math.log(base));
    }
  }

  /** A divisor for each pair (GGUF's {@code rope_freqs}), then another scaling. */
  record Divided(float[] divisors, RopeScaling then) implements RopeScaling {
    public Divided {
      divisors = divisors.clone();
    }

    @Override
    public float[] divisors() {
      return divisors.clone();
    }

    @Override
    public double attentionFactor() {
      return then.attentionFactor();
    }

    @Override
    public double[] scale(double[] inverse, int headLength, double base) {
      double[] divided = new double[inverse.length];
      for (int i = 0; i < divided.length; i++) {
        divided[i] = inverse[i] / divisors[i];
      }
      return then.scale(divided, headLength, base);
    }
  }

  private static double clamp(double x) {
    return Math.min(1, Math.max(0, x));
  }
}
