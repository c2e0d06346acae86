package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.log_softmax;
import static org.bytedeco.pytorch.global.torch.softmax;

import io.github.mla4j.convert.torch.TorchScope;
import java.util.Optional;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The mean loss of next-token distributions and its gradient by what the student's head reads. The
 * gradient by the logits is in closed form, softmax(student) less the target distribution, a few
 * rows at a time, so that logits of all positions are never in memory together.
 */
final class NextTokenLoss {
  private static final int ROWS = 128;
  // The gradient needs no logarithms: the loss itself is measured on one row of so many.
  private static final int MEASURED_EVERY = 8;

  private final Tensor studentHead; // [V, D]
  private final String headName;
  private final Optional<Tensor> teacherHead; // [V, D]; empty: the text is the target
  private final double textShare;

  /**
   * @param headName of the tensor that is the student's head
   * @param teacherHead where the loss asks the teacher
   */
  NextTokenLoss(Tensor studentHead, String headName, Optional<Tensor> teacherHead, HealLoss loss) {
    if (loss.asksTeacher() != teacherHead.isPresent()) {
      throw new IllegalArgumentException(loss + " with the teacher's head " + teacherHead);
    }
    this.studentHead = studentHead;
    this.headName = headName;
    this.teacherHead = teacherHead;
    this.textShare = loss.textShare();
  }

  /**
   * @param loss estimated from a part of the positions, nats
   * @param byState [N, D]
   */
  record Result(double loss, Tensor byState) {}

  /**
   * @param state what the student's head reads, [N, D]
   * @param teacherState what the teacher's head reads, [N, D]; unused where the text is the target
   * @param next the next token of every position, [N] of int64
   * @param gradients told of the head's gradient, where it is trained
   */
  Result of(Tensor state, Tensor teacherState, Tensor next, Gradients gradients) {
    long positions = state.size(0);
    double[] sum = new double[1];
    long[] measured = new long[1];
    Tensor byState = TorchScope.nested(state::clone);
    for (long first = 0; first < positions; first += ROWS) {
      long begin = first;
      long count = Math.min(ROWS, positions - begin);
      TorchScope.runWithoutGradients(
          () -> {
            Tensor rows = state.narrow(0, begin, count);
            Tensor logits = linear(rows, studentHead);
            Tensor byLogits = softmax(logits, 1);
            Tensor some = everyEighth(logits);
            measured[0] += some.size(0);
            if (teacherHead.isPresent()) {
              Tensor wanted = linear(teacherState.narrow(0, begin, count), teacherHead.get());
              sum[0] += (1 - textShare) * divergence(everyEighth(wanted), some);
              byLogits.sub_(softmax(wanted, 1), new Scalar(1 - textShare));
            }
            if (textShare > 0) {
              Tensor targets = next.narrow(0, begin, count).unsqueeze(1);
              Tensor found = logOf(some).gather(1, everyEighth(targets));
              sum[0] -= textShare * found.sum().item_double();
              byLogits.scatter_add_(
                  1, targets, targets.to(byLogits.scalar_type()).fill_(new Scalar(-textShare)));
            }
            byState.narrow(0, begin, count).copy_(byLogits.mm(studentHead));
            if (gradients.wants(headName)) {
              Tensor share = rows.mul(new Scalar(1.0 / positions));
              gradients.add(headName, byLogits.t().mm(share).to(ScalarType.Float));
            }
          });
    }
    TorchScope.runWithoutGradients(() -> byState.mul_(new Scalar(1.0 / positions)));
    return new Result(sum[0] / measured[0], byState);
  }

  private static Tensor everyEighth(Tensor rows) {
    return rows.slice(0, new LongOptional(0), new LongOptional(rows.size(0)), MEASURED_EVERY);
  }

  private static Tensor logOf(Tensor logits) {
    return log_softmax(logits, 1, new ScalarTypeOptional(ScalarType.Float));
  }

  /** Σ p · (ln p − ln q) over rows. */
  private static double divergence(Tensor wanted, Tensor logits) {
    Tensor p = logOf(wanted);
    return p.exp().mul_(p.sub(logOf(logits))).sum().item_double();
  }
}
