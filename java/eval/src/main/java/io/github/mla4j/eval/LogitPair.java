package io.github.mla4j.eval;

/**
 * A teacher's and a model's distributions of the next token at one position.
 *
 * @param divergence KL(teacher || model) in nats
 * @param agree whether both find the same token the likeliest
 * @param teacher ln of the probability that the teacher gives to the token that came
 * @param model the same of the model
 */
record LogitPair(double divergence, boolean agree, double teacher, double model) {

  /**
   * Compares logits.
   *
   * <p>With t and m the logits below their greatest, T = Σ eᵗ and M = Σ eᵐ: Σ p (ln p − ln q) = Σ
   * eᵗ (t − m) / T − ln T + ln M, so that one pass is enough. Sums are in double precision, which
   * keeps the divergence of like distributions from falling below 0 by more than rounding.
   *
   * @param teacherLogits [vocabulary]
   * @param modelLogits [vocabulary]
   * @param next the token that came
   */
  static LogitPair of(float[] teacherLogits, float[] modelLogits, int next) {
    int teacherBest = best(teacherLogits);
    int modelBest = best(modelLogits);
    double teacherHighest = teacherLogits[teacherBest];
    double modelHighest = modelLogits[modelBest];
    double teacherSum = 0;
    double modelSum = 0;
    double difference = 0;
    for (int i = 0; i < teacherLogits.length; i++) {
      double t = teacherLogits[i] - teacherHighest;
      double m = modelLogits[i] - modelHighest;
      double weight = Math.exp(t);
      teacherSum += weight;
      modelSum += Math.exp(m);
      if (weight != 0) { // a token that is impossible to the teacher costs nothing
        difference += weight * (t - m);
      }
    }
    double teacherLog = Math.log(teacherSum);
    double modelLog = Math.log(modelSum);
    return new LogitPair(
        difference / teacherSum - teacherLog + modelLog,
        teacherBest == modelBest,
        teacherLogits[next] - teacherHighest - teacherLog,
        modelLogits[next] - modelHighest - modelLog);
  }

  private static int best(float[] logits) {
    int best = 0;
    for (int i = 1; i < logits.length; i++) {
      if (logits[i] > logits[best]) {
        best = i;
      }
    }
    return best;
  }
}
