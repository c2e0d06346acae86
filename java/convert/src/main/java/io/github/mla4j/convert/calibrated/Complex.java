package io.github.mla4j.convert.calibrated;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * A complex tensor as two real ones: PyTorch multiplies and sums those at full speed.
 *
 * @param real part
 * @param imaginary part, of the same shape
 */
record Complex(Tensor real, Tensor imaginary) {
  /** Rotary pairs as numbers: dims i and i + f of the last axis. */
  static Complex halves(Tensor x, int f) {
    return new Complex(x.narrow(2, 0, f), x.narrow(2, f, f));
  }

  Complex times(Complex other) {
    return new Complex(realOfProduct(other), imaginaryOfProduct(other));
  }

  Tensor realOfProduct(Complex other) {
    return real.mul(other.real).addcmul_(imaginary, other.imaginary, new Scalar(-1));
  }

  Tensor imaginaryOfProduct(Complex other) {
    return real.mul(other.imaginary).addcmul_(imaginary, other.real);
  }

  Complex times(double factor) {
    return new Complex(real.mul(new Scalar(factor)), imaginary.mul(new Scalar(factor)));
  }

  Complex conjugate() {
    return new Complex(real, imaginary.neg());
  }

  /** The first entries of the first axis. */
  Complex first(long count) {
    return new Complex(real.narrow(0, 0, count), imaginary.narrow(0, 0, count));
  }
}
