package io.github.mla4j.eval.sweep;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Places for texts beside marks, such that no text lies on a mark or on another text. */
final class PlotLabels {
  /** Of a letter, at the size that plots write labels in. */
  private static final double LETTER_WIDTH = 6.2;

  private static final double LETTER_HEIGHT = 12;
  private static final double GAP = 8;
  private static final double CORNER = 6;

  private final Box inside;
  private final List<Box> taken = new ArrayList<>();

  private record Box(double left, double top, double right, double bottom) {
    boolean meets(Box other) {
      return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
    }

    boolean holds(Box other) {
      return left <= other.left
          && top <= other.top
          && right >= other.right
          && bottom >= other.bottom;
    }
  }

  /** Where a text begins, at its base line, in pixels. */
  record Place(double x, double y) {}

  /** Labels that stay inside these bounds. */
  PlotLabels(double left, double top, double right, double bottom) {
    inside = new Box(left, top, right, bottom);
  }

  /** There is a mark here. */
  void mark(double x, double y, double radius) {
    taken.add(new Box(x - radius, y - radius, x + radius, y + radius));
  }

  /** A free place beside a mark, taken from now on; empty where there is none. */
  Optional<Place> place(String text, double x, double y) {
    double width = text.length() * LETTER_WIDTH;
    // The line of the front comes to a mark from above and leaves it to the right: those come last.
    double[][] corners = {
      {x - CORNER - width, y + CORNER},
      {x - GAP - width, y - LETTER_HEIGHT / 2},
      {x - width / 2, y + GAP},
      {x + CORNER, y + CORNER},
      {x + CORNER, y - GAP - LETTER_HEIGHT},
      {x - CORNER - width, y - GAP - LETTER_HEIGHT},
      {x + GAP, y - LETTER_HEIGHT / 2},
      {x - width / 2, y - GAP - LETTER_HEIGHT}
    };
    for (double[] corner : corners) {
      Box box = new Box(corner[0], corner[1], corner[0] + width, corner[1] + LETTER_HEIGHT);
      if (inside.holds(box) && taken.stream().noneMatch(box::meets)) {
        taken.add(box);
        return Optional.of(new Place(box.left, box.bottom - 2.5));
      }
    }
    return Optional.empty();
  }
}
