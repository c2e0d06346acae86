#include "kernels/attention/gpu_plan.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>

#include "kernels/attention/gpu_latent_plan.h"
#include "kernels/attention/gpu_task_heads.h"
#include "kernels/attention/gpu_task_rows.h"
#include "kernels/attention/rounding.h"

namespace mla {
namespace {

constexpr int32_t kMostQueries = 8;

template <typename T>
void Append(const T& value, std::vector<int32_t>* to) {
  int32_t integers[sizeof(T) / 4];
  std::memcpy(integers, &value, sizeof value);
  to->insert(to->end(), std::begin(integers), std::end(integers));
}

class Planner {
 public:
  Planner(const LayerLayout& layout, const CacheOptions& options, int32_t queries,
          const GpuStream& stream)
      : layout_(layout), rows_(layout, options), queries_(queries), stream_(stream) {
    for (int32_t g = 0; g < layout.kv_heads; ++g) {
      longest_value_ = std::max(longest_value_, layout.value_length(g));
      longest_key_ = std::max(longest_key_, layout.key_length(g));
    }
  }

  // The first arrangement that fits, of the most columns. Whether there is one.
  bool Plan() {
    const int32_t all = stream_.shared_bytes();
    for (int32_t columns = WantedColumns(); columns >= 8; columns /= 2) {
      variant = VariantFor(columns);
      // Several blocks a processor, of which one scores while another one waits; but a tile costs
      // as much to begin with whatever its tokens are.
      if (variant.warps == 4 && Fits(all / 4, {64}, 2)) return true;
      if (Fits(all / 2, {64}, 2) || Fits(all, {64}, 2) || Fits(all / 2, {32}, 2) ||
          Fits(all, {32}, 2) || Fits(all / 2, {16}, 2) || Fits(all, {16}, 2) ||
          Fits(all, {32, 16}, 1)) {
        return true;
      }
      for (const int32_t piece : {32 << 10, 16 << 10, 8 << 10}) {
        Write(rows_.packed() ? 32 : 16, 2, piece);
        if (shared_bytes <= all) return true;
      }
    }
    return false;
  }

  GpuAttentionVariant variant = {};
  GpuAttentionSizes sizes = {};
  int32_t shared_bytes = 0;
  std::vector<int32_t> tables;

  int32_t key_elements() const { return layout_.rope_dim + longest_key_; }

 private:
  int32_t WantedColumns() const {
    const int32_t columns = MostSharedColumns(layout_, queries_);
    if (columns > 32) return longest_value_ <= 8 * kValueStrip ? 64 : 32;
    return columns > 16 ? 32 : columns > 8 ? 16 : 8;
  }

  GpuAttentionVariant VariantFor(int32_t columns) const {
    const GpuRows rows = rows_.rows();
    if (columns <= 32 && longest_value_ <= 4 * kValueStrip) return {4, columns, 1, rows};
    if (columns > 32 || longest_value_ <= 8 * kValueStrip) return {8, columns, 1, rows};
    return {8, columns, 2, rows};
  }

  int32_t ScoreBytes(int32_t tokens) const {
    const GpuScoreSplit split =
        SplitScores(variant.warps, variant.columns / 8, tokens, rows_.packed());
    return split.strip_groups * variant.columns * (tokens + 4) * 4;
  }
  int32_t QueryUnits() const {
    // An odd number of strips: columns' beginnings alternate between both halves of the banks.
    return ((CeilDiv(layout_.rope_dim, kScoreStrip) + CeilDiv(longest_key_, kScoreStrip)) | 1) * 4;
  }
  // All of a block's shared memory but the slots, as PlaceShared has it.
  int32_t FixedBytes() const {
    const bool packed = rows_.packed();
    const int32_t column = QueryPitch(sizes.query_pitch, packed) * 16 + sizes.query_pitch + 4 +
                           WeightPitch(packed) * 2 + 3 * 4;
    return kWorkBytes + RoundUp(sizes.task_bytes, 128) + variant.columns * column +
           sizes.score_bytes + kSlotStateBytes;
  }

  // Whether tiles of whole rows fit: of as many tokens as go with two slots or what is wanted.
  bool Fits(int32_t bytes, std::initializer_list<int32_t> tile_tokens, int32_t least_slots) {
    for (const int32_t tokens : tile_tokens) {
      if (rows_.packed() && tokens < 32) continue;
      for (int32_t slots = least_slots == 1 ? 1 : kMostSlots; slots >= least_slots; --slots) {
        Write(tokens, slots, 0);
        if (shared_bytes <= bytes) return true;
      }
    }
    return false;
  }

  std::vector<GpuPieceBuilder> PiecesOf(const GpuTaskHeads& task, GpuRowForm form, int32_t tokens,
                                        int32_t most_bytes) const {
    if (most_bytes > 0) return rows_.Pieces(task, form, tokens, most_bytes);
    return {rows_.Whole(task, form, tokens)};
  }
  int32_t LongestPiece(const std::vector<GpuTaskHeads>& tasks, GpuRowForm form, int32_t tokens,
                       int32_t most_bytes) const {
    int32_t longest = 0;
    for (const GpuTaskHeads& task : tasks) {
      for (const GpuPieceBuilder& piece : PiecesOf(task, form, tokens, most_bytes)) {
        longest = std::max(longest, piece.Bytes());
      }
    }
    return longest;
  }

  // Everything for tiles of so many tokens; most_bytes 0: of whole rows.
  void Write(int32_t tokens, int32_t slots, int32_t most_bytes) {
    const std::vector<GpuTaskHeads> tasks =
        SplitHeads(layout_, queries_, variant.columns, variant.value_length());
    sizes = {};
    sizes.tasks = static_cast<int32_t>(tasks.size());
    sizes.queries = queries_;
    sizes.heads = layout_.heads;
    sizes.residual = rows_.options().residual;
    sizes.sink = rows_.options().sink;
    sizes.value_length = longest_value_;
    sizes.query_pitch = QueryUnits();
    sizes.rope_length = layout_.rope_dim;
    // More elements a thread than these take longer than to wait until they are prepared.
    constexpr int32_t kMostDirect = 24;
    sizes.prepared =
        variant.columns * sizes.query_pitch * kUnitElements > kMostDirect * variant.threads();
    sizes.bfloats = rows_.rows() == GpuRows::kBfloats;
    sizes.bulk = stream_.has_bulk_copies();
    sizes.slots = slots;
    int32_t form_tokens[kRowForms] = {tokens, tokens, tokens};
    sizes.slot_bytes = LongestPiece(tasks, kRowsForm, tokens, most_bytes);
    for (const GpuRowForm form : {kExactForm, kFirstForm}) {
      if (!rows_.Has(form)) continue;
      // Beside packed rows, those of the window take tiles of fewer tokens.
      int32_t& n = form_tokens[form];
      while (n > 16 && LongestPiece(tasks, form, n, most_bytes) > sizes.slot_bytes) n /= 2;
      sizes.slot_bytes = std::max(sizes.slot_bytes, LongestPiece(tasks, form, n, most_bytes));
    }
    sizes.slot_bytes = RoundUp(sizes.slot_bytes, 128);
    for (const int32_t n : form_tokens) {
      sizes.score_bytes = std::max(sizes.score_bytes, ScoreBytes(n));
    }
    WriteTables(tasks, form_tokens, most_bytes);
    shared_bytes = FixedBytes() + slots * sizes.slot_bytes;
    SetSplits();
  }

  std::vector<int32_t> WriteTask(const GpuTaskHeads& heads, const int32_t (&form_tokens)[kRowForms],
                                 int32_t most_bytes) const {
    std::vector<int32_t> columns;
    std::vector<GpuTilePiece> pieces;
    std::vector<GpuTileRun> runs;
    for (int32_t c = 0; c < variant.columns; ++c)
      Append(ColumnOf(layout_, queries_, heads, c), &columns);
    const int32_t header = static_cast<int32_t>(sizeof(GpuTask) / 4 + columns.size());
    GpuTask task = {};
    task.rope_groups = rows_.RopeGroups(heads);
    task.rope_length = layout_.rope_dim;
    task.key_length = layout_.key_length(heads.kv_heads[0]);
    task.value_begin = heads.value_begin;
    task.value_length = heads.value_length;
    for (const GpuRowForm form : {kRowsForm, kExactForm, kFirstForm}) {
      GpuTileForm& to = task.forms[form];
      to.tokens = form_tokens[form];
      while (1 << to.shift < to.tokens) ++to.shift;
      if (!rows_.Has(form)) continue;
      to.piece = header + static_cast<int32_t>(pieces.size() * sizeof(GpuTilePiece) / 4);
      for (const GpuPieceBuilder& builder : PiecesOf(heads, form, to.tokens, most_bytes)) {
        const GpuTilePiece piece = builder.Finish(&runs);
        pieces.push_back(piece);
        if (to.pieces == 0 || piece.score_end > piece.score_begin) ++to.score_pieces;
        ++to.pieces;
      }
    }
    constexpr int32_t kRunIntegers = static_cast<int32_t>(sizeof(GpuTileRun) / 4);
    const int32_t first_run =
        RoundUp(header + static_cast<int32_t>(pieces.size() * sizeof(GpuTilePiece) / 4), 4);
    task.integers = first_run + static_cast<int32_t>(runs.size()) * kRunIntegers;
    std::vector<int32_t> all(static_cast<size_t>(task.integers));
    std::memcpy(all.data(), &task, sizeof task);
    std::copy(columns.begin(), columns.end(), all.begin() + sizeof task / 4);
    for (size_t i = 0; i < pieces.size(); ++i) {
      pieces[i].run = first_run + pieces[i].run * kRunIntegers;
      std::memcpy(all.data() + header + i * (sizeof pieces[i] / 4), &pieces[i], sizeof pieces[i]);
    }
    std::memcpy(all.data() + first_run, runs.data(), runs.size() * sizeof runs[0]);
    return all;
  }

  void WriteTables(const std::vector<GpuTaskHeads>& tasks, const int32_t (&form_tokens)[kRowForms],
                   int32_t most_bytes) {
    std::vector<std::vector<int32_t>> written;
    for (const GpuTaskHeads& task : tasks) {
      written.push_back(WriteTask(task, form_tokens, most_bytes));
      sizes.task_bytes =
          std::max(sizes.task_bytes, static_cast<int32_t>(written.back().size()) * 4);
    }
    tables = JoinTables(layout_, written);
  }

  // A split costs its queries, and halves of sums that are written and read again; a processor
  // that has no split costs all that it could do. So short splits, down to a few tiles, as long as
  // they cost no more than a third of their tokens, and no more of them than run at once.
  void SetSplits() {
    constexpr int64_t kLeast = 2 * kPageTokens, kMost = 4 * kPageTokens;
    constexpr int64_t kTokenBytes = 384;  // a token of shorter rows takes as long as this one
    const int64_t overhead =
        int64_t{variant.columns} * (sizes.query_pitch * 16 + 4 * longest_value_);
    const int64_t page_bytes = rows_.places(kRowsForm).page_bytes;
    const int64_t token = std::max(kTokenBytes, page_bytes / kPageTokens / sizes.tasks);
    const int64_t tokens = RoundUp<int64_t>(3 * overhead / token, kPageTokens);
    sizes.least_split = static_cast<int32_t>(std::clamp(tokens, kLeast, kMost));
    sizes.usual_splits = std::numeric_limits<int32_t>::max();
    sizes.long_split = sizes.least_split;
    const int32_t side_by_side = std::min(4, std::max(1, stream_.shared_bytes() / shared_bytes));
    sizes.most_splits = std::max(1, stream_.processors() * side_by_side / sizes.tasks);
  }

  const LayerLayout& layout_;
  const GpuTaskRows rows_;
  const int32_t queries_;
  const GpuStream& stream_;
  int32_t longest_value_ = 0, longest_key_ = 0;
};

}  // namespace

Result<GpuAttentionPlan> GpuAttentionPlan::Create(const LayerLayout& layout,
                                                  const CacheOptions& options, int32_t queries,
                                                  const GpuStream& stream) {
  if (queries < 1 || queries > kMostQueries) {
    return Status(MLA_INVALID_ARGUMENT, "attention of " + std::to_string(queries) +
                                            " queries a step, expected 1 to " +
                                            std::to_string(kMostQueries));
  }
  if (std::optional<GpuLatentPlan> latent = PlanLatent(layout, options, queries, stream)) {
    GpuAttentionPlan plan;
    plan.sizes_ = latent->sizes;
    plan.shared_bytes_ = latent->shared_bytes;
    plan.tables_ = std::move(latent->tables);
    plan.latent_ = latent->latent;
    plan.latent_shape_ = latent->shape;
    plan.blocks_ = latent->blocks * stream.processors();
    return plan;
  }
  Planner planner(layout, options, queries, stream);
  if (!planner.Plan()) {
    return Status(MLA_UNSUPPORTED, "attention on the GPU: keys of " +
                                       std::to_string(planner.key_elements()) +
                                       " elements are more than its shared memory of " +
                                       std::to_string(stream.shared_bytes()) + " bytes holds");
  }
  const GpuAttentionVariant& v = planner.variant;
  const bool compiled = std::any_of(
      std::begin(kGpuAttentionShapes), std::end(kGpuAttentionShapes), [&](const auto& shape) {
        return shape.warps == v.warps && shape.columns == v.columns && shape.strips == v.strips;
      });
  if (!compiled) return Status(MLA_INTERNAL, "attention on the GPU: no kernel of a plan's variant");
  GpuAttentionPlan plan;
  plan.variant_ = v;
  plan.sizes_ = planner.sizes;
  plan.shared_bytes_ = planner.shared_bytes;
  plan.tables_ = std::move(planner.tables);
  return plan;
}

// So many that all blocks that run at once have work, in as few waves as may be: for each number of
// waves as many splits as it has room for.
int32_t GpuAttentionPlan::FillingSplits(int32_t sequences) const {
  if (!latent_.has_value() || !latent_->fills) return 0;
  constexpr double kBlockCost = 0.02;  // of what a sequence costs that is not split
  const int64_t all = int64_t{sequences} * sizes_.tasks;
  const int64_t least_waves = CeilDiv<int64_t>(all, blocks_);
  int64_t best = 1;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t waves = least_waves; waves <= 2 * least_waves + 8; ++waves) {
    const int64_t splits = std::min<int64_t>(waves * blocks_ / all, blocks_);
    const double cost =
        static_cast<double>(waves) * (1.0 / static_cast<double>(splits) + kBlockCost);
    if (cost < least) {
      least = cost;
      best = splits;
    }
  }
  return static_cast<int32_t>(best);
}

int32_t GpuAttentionPlan::MostSplits(int32_t sequences, int32_t bucket, int32_t window) const {
  const int64_t in_window = window > 0 ? int64_t{window} + sizes_.queries - 1 : bucket;
  const int32_t seen = static_cast<int32_t>(std::clamp<int64_t>(in_window, 1, bucket));
  int32_t floats = 0;  // tiles of the window's rows
  if (latent_.has_value() && latent_->float_slot_bytes > 0) {
    const int32_t first = std::min(sizes_.sink, bucket), newest = std::min(sizes_.residual, bucket);
    floats = CeilDiv(first, kPageTokens) +
             (newest > 0 ? CeilDiv(newest + sizes_.queries - 1, kPageTokens) + 1 : 0);
  }
  const int32_t float_splits = CeilDiv(floats, kFloatTiles);
  const int32_t filling = FillingSplits(sequences);
  if (filling == 0) return sizes_.Splits(seen) + float_splits;
  const int32_t tiles = CeilDiv(seen, kPageTokens) + 1;
  // Groups' splits take the window's tiles behind the others.
  if (latent_->group.values > 0) return SplitsToFill(tiles + floats, filling);
  return SplitsToFill(tiles, filling) + float_splits;
}

int64_t GpuAttentionPlan::PartialBytes(int32_t sequences, int32_t bucket, int32_t window) const {
  const int64_t splits = MostSplits(sequences, bucket, window);
  if (splits == 1) return 0;
  return int64_t{sequences} * splits * sizes_.queries * sizes_.heads * sizes_.partial_floats() * 4;
}

int64_t GpuAttentionPlan::WorkspaceBytes(int32_t sequences, int32_t bucket, int32_t window) const {
  const int64_t queries = sizes_.prepared != 0 ? int64_t{sizes_.queries} * sizes_.heads : 0;
  return PartialBytes(sequences, bucket, window) + sequences * queries * sizes_.query_bytes();
}

}  // namespace mla
