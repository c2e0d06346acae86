// Which of a step's rows a member of the team works on between two meetings.
#ifndef MLA_GRAPH_ROW_SHARE_H_
#define MLA_GRAPH_ROW_SHARE_H_

#include <cstdint>

#include "graph/matmul_batch.h"
#include "graph/prepared_input.h"
#include "graph/step.h"
#include "graph/workspace.h"
#include "runtime/thread_pool.h"

namespace mla {

// A few rows are everybody's: members share out each operation's rows or weights and meet at its
// end. Of many, each member has some of its own for the whole step and multiplies them with all
// weights: what it wrote is what it reads, in its own caches, and it meets the others only where
// attention reads across rows. What prepares a single row for the weights is so little that every
// member does it for itself, in memory of its own, instead of waiting for one that does it for all.
// Results are the same to the last bit.
class RowShare {
 public:
  // So many rows of its own are worth unpacking all weights.
  static constexpr int64_t kLeastOwn = 64;

  static bool AreMany(int64_t rows, int members) {
    return members > 1 && rows >= kLeastOwn * members;
  }

  // apart: a layer reads across rows, and what others made of a row, in attention alone.
  RowShare(int64_t rows, bool apart, int members, int member)
      : own_(apart && AreMany(rows, members)),
        one_(apart && rows == 1 && members > 1),
        member_(member) {
    begin_ = own_ ? rows * member / members : 0;
    end_ = own_ ? rows * (member + 1) / members : rows;
    most_ = (rows + members - 1) / members;
  }

  bool own() const { return own_; }
  bool one() const { return one_; }
  // Whether a member goes on from Each without having met the others.
  bool apart() const { return own_ || one_; }
  int64_t begin() const { return begin_; }
  int64_t count() const { return end_ - begin_; }

  // fn(from, to) over these rows, counted from the step's first; at most `most` at a time where
  // they are shared out, and then a meeting. Of one row every member calls it, and writes Normed,
  // Gated and Input alone.
  template <typename Fn>
  void Each(Team& team, int64_t most, Fn&& fn) const {
    if (one_) {
      fn(begin_, end_);
    } else {
      EachOnce(team, most, fn);
    }
  }
  // The same where a row must be written once.
  template <typename Fn>
  void EachOnce(Team& team, int64_t most, Fn&& fn) const {
    if (own_) {
      fn(begin_, end_);
    } else {
      team.Each(count(), RowGrain(count(), team.size(), most), fn);
    }
  }
  // Ends with a meeting where rows are everybody's.
  void Run(const MatmulBatch& batch, Team& team) const {
    if (own_) {
      batch.RunAlone();
    } else {
      batch.Run(team, member_);
    }
  }
  // For what reads others' rows; everybody's have met already.
  void Meet(Team& team) const {
    if (own_) team.Barrier();
  }

  // The step's normed rows, and the MLP's gated ones.
  float* Normed(const Workspace& w) const { return one_ ? w.own(member_).row : w.normed; }
  float* Gated(const Workspace& w) const { return one_ ? w.own(member_).row : w.gate; }
  // These rows' input.
  PreparedInput Input(const Workspace& w, Activations activations, int64_t cols) const {
    return Input(one_ ? w.own(member_).prepared : w.prepared, w.widest, activations, cols);
  }
  // The same in the member's part of an area of AreaBytes.
  PreparedInput Input(uint8_t* area, int64_t widest, Activations activations, int64_t cols) const {
    const int64_t before = own_ ? member_ * PreparedInput::Bytes(most_, widest) : 0;
    return PreparedInput(area + before, activations, count(), cols);
  }
  static int64_t AreaBytes(int64_t rows, int64_t widest) {
    // Of at most rows / kLeastOwn members, each part is rounded up to a row and a line.
    return PreparedInput::Bytes(rows, widest) +
           2 * (rows / kLeastOwn) * PreparedInput::Bytes(1, widest);
  }

 private:
  bool own_, one_;
  int member_;
  int64_t begin_, end_, most_;
};

}  // namespace mla
#endif  // MLA_GRAPH_ROW_SHARE_H_
