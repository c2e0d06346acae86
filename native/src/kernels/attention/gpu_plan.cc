#include "kernels/attention/gpu_plan.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "cache/page_places.h"

namespace mla {
namespace {

constexpr int32_t kMostQueries = 8;
constexpr int32_t kMostSlots = 3;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t RoundUp(int64_t a, int64_t to) { return CeilDiv(a, to) * to; }

// --- a piece: lines of a page, in the order of shared memory ---

class PieceBuilder {
 public:
  // Elements [begin, end) of a row, begin at a strip's beginning.
  GpuTileArray Add(const RowArray& row, int32_t begin, int32_t end) {
    GpuTileArray array = Describe(row, end - begin);
    if (row.format.packed()) {
      array.at = static_cast<int32_t>(blocks_.size());
      array.numbers = static_cast<int32_t>(numbers_.size());
      AddBlocks(row, begin, end);
    } else {
      array.at = static_cast<int32_t>(units_.size());
      AddUnits(row, begin, end);
    }
    return array;
  }
  // The same row from another element on.
  static GpuTileArray From(const RowArray& row, GpuTileArray array, int32_t begin) {
    array.length -= begin;
    array.at += begin / LineElements(row.format);
    if (row.format.packed()) {
      array.numbers += begin / row.format.group * row.format.scales_per_group;
    }
    return array;
  }
  void AddScalars(int64_t scalars, int32_t kv_head) {
    scalars_.push_back({static_cast<int32_t>(scalars + int64_t{kv_head} * kPageTokens * 4),
                        static_cast<int32_t>(sizeof(float)), 0, 0});
  }

  // How many lines a row's elements are.
  static int32_t LineElements(const RowFormat& format) {
    return format.packed() ? format.block_elements() : kUnitElements;
  }

  GpuTilePiece piece = {};

  void Finish(std::vector<GpuTileLine>* lines) {
    piece.lines = static_cast<int32_t>(lines->size());
    piece.blocks = static_cast<int32_t>(blocks_.size());
    piece.scalars = static_cast<int32_t>(scalars_.size());
    piece.numbers = static_cast<int32_t>(numbers_.size());
    piece.units = static_cast<int32_t>(units_.size());
    piece.pitch = static_cast<int32_t>(RoundUp(piece.units, 8));
    for (const auto* part : {&blocks_, &scalars_, &numbers_, &units_}) {
      lines->insert(lines->end(), part->begin(), part->end());
    }
  }

 private:
  static GpuTileArray Describe(const RowArray& row, int32_t length) {
    GpuTileArray array = {};
    array.type = static_cast<int32_t>(row.format.type);
    array.length = length;
    array.group = row.format.group;
    array.step = static_cast<int32_t>(CeilDiv(length, LineElements(row.format)));
    array.number_step = row.format.groups() * row.format.scales_per_group;
    return array;
  }
  void AddBlocks(const RowArray& row, int32_t begin, int32_t end) {
    const RowFormat& format = row.format;
    const int32_t elements = format.block_elements();
    const bool in_twos = format.type == CacheType::kInt8;
    for (int32_t b = begin / elements; b * elements < end; ++b) {
      const int32_t at = static_cast<int32_t>(blocks_.size());
      blocks_.push_back({static_cast<int32_t>(row.values + b * kBlockStride), kBlockBytes,
                         BlockSwizzle(at, in_twos), elements});
    }
    for (int32_t g = begin / format.group; g * format.group < end; ++g) {
      for (int32_t i = 0; i < format.scales_per_group; ++i) {
        const int64_t number = int64_t{g} * format.scales_per_group + i;
        numbers_.push_back({static_cast<int32_t>(row.scales + number * kPageTokens * 2), 2, 0, 0});
      }
    }
  }
  void AddUnits(const RowArray& row, int32_t begin, int32_t end) {
    const bool floats = row.format.type == CacheType::kF32;
    const bool aligned = !floats && row.values % 16 == 0 && row.format.stride % 16 == 0;
    const int64_t bytes = floats ? 4 : 2;
    for (int32_t e = begin; e < end; e += kUnitElements) {
      units_.push_back({static_cast<int32_t>(row.values + e * bytes),
                        static_cast<int32_t>(row.format.stride),
                        aligned  ? kAlignedHalves
                        : floats ? kFloats
                                 : kHalves,
                        std::min(kUnitElements, end - e)});
    }
  }

  std::vector<GpuTileLine> blocks_, scalars_, numbers_, units_;
};

// --- what a task reads ---

struct TaskHeads {
  std::vector<int32_t> kv_heads;
  int32_t first_column = 0, columns = 0;  // of the KV heads' columns
  int32_t value_begin = 0, value_length = 0;
};

// The rows of a task in one form.
struct TaskRows {
  std::vector<RowArray> rope;
  std::optional<RowArray> key;
  RowArray value;
  bool value_is_key = false;
};

class Planner {
 public:
  Planner(const LayerLayout& layout, const CacheOptions& options, int32_t queries, int32_t shared)
      : layout_(layout),
        options_(WindowOptions(options)),
        queries_(queries),
        shared_(shared),
        places_{PlaceRows(options, layout), PlaceExactRows(options, layout, kPageTokens),
                PlaceExactRows(options, layout, options_.sink)} {
    const auto packed = [](const std::vector<RowArray>& rows) {
      return std::any_of(rows.begin(), rows.end(),
                         [](const RowArray& row) { return row.format.packed(); });
    };
    packed_ = packed(places_[kRowsForm].rope) || packed(places_[kRowsForm].latent);
    for (int32_t g = 0; g < layout.kv_heads; ++g) {
      longest_value_ = std::max(longest_value_, layout.value_length(g));
      longest_key_ = std::max(longest_key_, layout.key_length(g));
    }
  }

  // The first arrangement that fits, of the most columns.
  bool Plan() {
    for (int32_t columns = WantedColumns(); columns >= 8; columns /= 2) {
      variant = VariantFor(columns);
      if (variant.warps == 1) {
        if (Fit(shared_ / 4, {32, 16}, 2) || Fit(shared_ / 2, {32, 16}, 2)) return true;
        variant = {4, columns, 1};
      }
      // Two blocks a processor: one scores while the other one waits.
      if (Fit(shared_ / 2, {64, 32, 16}, 2) || Fit(shared_, {64, 32, 16}, 2) ||
          Fit(shared_, {32, 16}, 1)) {
        return true;
      }
      for (int32_t bytes : {32 << 10, 24 << 10, 16 << 10, 8 << 10}) {
        if (FitInPieces(bytes)) return true;
      }
    }
    return false;
  }

  GpuAttentionVariant variant = {};
  GpuAttentionSizes sizes = {};
  int32_t shared_bytes = 0;
  std::vector<int32_t> tables;

  std::string Needs() const {
    return "keys of " + std::to_string(layout_.rope_dim + longest_key_) + " elements";
  }

 private:
  int32_t HeadsPerKv() const { return layout_.heads / layout_.kv_heads; }
  int32_t ColumnsPerKv() const { return HeadsPerKv() * queries_; }

  // KV heads of one key and one value segment, in their order.
  std::vector<std::vector<int32_t>> Clusters() const {
    std::vector<std::vector<int32_t>> clusters;
    for (int32_t g = 0; g < layout_.kv_heads; ++g) {
      const size_t head = static_cast<size_t>(g);
      auto it = std::find_if(clusters.begin(), clusters.end(), [&](const auto& cluster) {
        const size_t other = static_cast<size_t>(cluster[0]);
        return layout_.key_segment[other] == layout_.key_segment[head] &&
               layout_.value_segment[other] == layout_.value_segment[head];
      });
      if (it == clusters.end()) it = clusters.insert(it, std::vector<int32_t>());
      it->push_back(g);
    }
    return clusters;
  }

  int32_t WantedColumns() const {
    size_t most = 0;
    for (const auto& cluster : Clusters()) most = std::max(most, cluster.size());
    const int64_t columns = static_cast<int64_t>(most) * ColumnsPerKv();
    if (columns > 32) return longest_value_ <= 8 * kValueStrip ? 64 : 32;
    return columns > 16 ? 32 : columns > 8 ? 16 : 8;
  }

  GpuAttentionVariant VariantFor(int32_t columns) const {
    if (columns <= 16 && longest_value_ <= 2 * kValueStrip) return {1, columns, 2};
    if (columns <= 32 && longest_value_ <= 4 * kValueStrip) return {4, columns, 1};
    if (columns > 32 || longest_value_ <= 8 * kValueStrip) return {8, columns, 1};
    return {8, columns, 2};
  }

  std::vector<TaskHeads> Tasks() const {
    std::vector<TaskHeads> tasks;
    const auto add = [&](TaskHeads task) {
      const int32_t length = layout_.value_length(task.kv_heads[0]);
      for (int32_t begin = 0; begin < length; begin += variant.value_length()) {
        task.value_begin = begin;
        task.value_length = std::min(variant.value_length(), length - begin);
        tasks.push_back(task);
      }
    };
    const int32_t each = ColumnsPerKv();
    for (const auto& cluster : Clusters()) {
      const int32_t count = static_cast<int32_t>(cluster.size());
      if (each > variant.columns) {
        for (const int32_t g : cluster) {
          for (int32_t begin = 0; begin < each; begin += variant.columns) {
            add({{g}, begin, std::min(variant.columns, each - begin)});
          }
        }
        continue;
      }
      const int32_t together = variant.columns / each;
      for (int32_t begin = 0; begin < count; begin += together) {
        const int32_t end = std::min(count, begin + together);
        add({{cluster.begin() + begin, cluster.begin() + end}, 0, (end - begin) * each});
      }
    }
    return tasks;
  }

  TaskRows RowsOf(const TaskHeads& task, int32_t form) const {
    const PagePlaces& places = places_[form];
    TaskRows rows;
    if (layout_.rope_dim > 0) {
      for (const int32_t g : task.kv_heads) {
        rows.rope.push_back(places.rope[static_cast<size_t>(layout_.rope_group(g))]);
        if (layout_.rope_groups == 1) break;
      }
    }
    const size_t g = static_cast<size_t>(task.kv_heads[0]);
    const int32_t key = layout_.key_segment[g], value = layout_.value_segment[g];
    if (key >= 0) rows.key = places.latent[static_cast<size_t>(key)];
    rows.value = places.latent[static_cast<size_t>(value)];
    rows.value_is_key = key == value;
    return rows;
  }

  void AddRope(const TaskRows& rows, PieceBuilder* builder) const {
    for (size_t a = 0; a < rows.rope.size(); ++a) {
      const GpuTileArray array = builder->Add(rows.rope[a], 0, layout_.rope_dim);
      if (a == 0) builder->piece.rope = array;
    }
  }
  void AddScalars(const TaskHeads& task, PieceBuilder* builder) const {
    if (!layout_.key_scalar) return;
    for (const int32_t g : task.kv_heads) builder->AddScalars(places_[kRowsForm].scalars, g);
  }
  int32_t RopeStrips(const TaskRows& rows) const {
    return static_cast<int32_t>(static_cast<int64_t>(rows.rope.size()) *
                                CeilDiv(layout_.rope_dim, kScoreStrip));
  }

  PieceBuilder WholeRows(const TaskHeads& task, int32_t form) const {
    const TaskRows rows = RowsOf(task, form);
    const int32_t key_length = rows.key ? rows.key->format.length : 0;
    PieceBuilder builder;
    AddRope(rows, &builder);
    AddScalars(task, &builder);
    if (rows.key) builder.piece.key = builder.Add(*rows.key, 0, key_length);
    if (rows.value_is_key) {
      builder.piece.value = PieceBuilder::From(rows.value, builder.piece.key, task.value_begin);
      builder.piece.value.length = task.value_length;
    } else {
      builder.piece.value =
          builder.Add(rows.value, task.value_begin, task.value_begin + task.value_length);
    }
    builder.piece.score_end =
        RopeStrips(rows) + static_cast<int32_t>(CeilDiv(key_length, kScoreStrip));
    builder.piece.value_end = static_cast<int32_t>(CeilDiv(task.value_length, kValueStrip));
    return builder;
  }

  // Rotary rows first, keys as far as a piece holds, then values.
  std::vector<PieceBuilder> Pieces(const TaskHeads& task, int32_t form, int32_t tokens,
                                   int32_t most_bytes) const {
    const TaskRows rows = RowsOf(task, form);
    const int32_t key_length = rows.key ? rows.key->format.length : 0;
    const int32_t rope_strips = RopeStrips(rows);
    std::vector<PieceBuilder> pieces(1);
    AddRope(rows, &pieces[0]);
    pieces[0].piece.score_end = rope_strips;
    const auto elements = [&](const RowArray& row, int32_t taken) {
      int64_t a_strip = int64_t{kValueStrip} * 2 * tokens;
      if (row.format.packed()) {
        a_strip = kValueStrip / row.format.block_elements() * 4 * tokens +
                  kValueStrip / row.format.group * row.format.scales_per_group * 2 * tokens;
      }
      return static_cast<int32_t>((most_bytes - taken - 256) / a_strip * kValueStrip);
    };
    for (int32_t begin = 0; begin < key_length;) {
      std::vector<GpuTileLine> ignored;
      if (begin > 0) pieces.emplace_back();
      PieceBuilder* builder = &pieces.back();
      PieceBuilder counted = *builder;
      counted.Finish(&ignored);
      int32_t most = elements(*rows.key, counted.piece.Bytes(tokens));
      if (most < kValueStrip && begin == 0 && rope_strips > 0) {
        pieces.emplace_back();
        builder = &pieces.back();
        most = elements(*rows.key, 0);
      }
      most = std::max(most, kValueStrip);  // what does not fit is seen at the end
      const int32_t end = std::min(key_length, begin + most);
      GpuTilePiece& piece = builder->piece;
      piece.key = PieceBuilder::From(*rows.key, builder->Add(*rows.key, begin, end), -begin);
      if (builder != &pieces[0]) piece.score_begin = rope_strips + begin / kScoreStrip;
      piece.score_end = rope_strips + static_cast<int32_t>(CeilDiv(end, kScoreStrip));
      begin = end;
    }
    AddScalars(task, &pieces.back());  // scores are whole there
    for (int32_t begin = 0; begin < task.value_length;) {
      PieceBuilder& builder = pieces.emplace_back();
      const int32_t most = std::max(elements(rows.value, 0), kValueStrip);
      const int32_t end = std::min(task.value_length, begin + most);
      const GpuTileArray array =
          builder.Add(rows.value, task.value_begin + begin, task.value_begin + end);
      builder.piece.value = PieceBuilder::From(rows.value, array, -begin);
      builder.piece.value_begin = begin / kValueStrip;
      builder.piece.value_end = static_cast<int32_t>(CeilDiv(end, kValueStrip));
      begin = end;
    }
    return pieces;
  }

  // --- arrangements ---

  int32_t ScoreBytes(int32_t tokens) const {
    const int32_t together = std::min(tokens, 32);
    const int32_t token_groups = std::min(tokens / together, variant.warps);
    return variant.warps / token_groups * variant.columns * (tokens + 4) * 4;
  }
  int32_t QueryUnits() const {
    const int64_t rope = CeilDiv(layout_.rope_dim, kScoreStrip);
    // An odd number of strips: columns' beginnings alternate between both halves of the banks.
    return static_cast<int32_t>((rope + CeilDiv(longest_key_, kScoreStrip)) | 1) * 4;
  }
  // All of a block's shared memory but the slots: as PlaceShared in cuda.cu has it.
  int32_t FixedBytes(int32_t task_bytes, int32_t score_bytes) const {
    const int32_t columns = variant.columns;
    const int32_t unit = score_bytes + columns * kWeightPitch * 2 + 3 * columns * 4;
    return static_cast<int32_t>(RoundUp(task_bytes, 128)) + columns * QueryUnits() * 16 +
           columns * 4 + variant.units() * unit;
  }

  // Tiles of whole rows, as many tokens as fit together with at least so many slots.
  bool Fit(int32_t bytes, std::initializer_list<int32_t> sizes_wanted, int32_t least_slots) {
    const std::vector<TaskHeads> tasks = Tasks();
    for (const int32_t tokens : sizes_wanted) {
      if (packed_ && tokens < 32) continue;
      for (int32_t slots = std::max(least_slots, least_slots > 1 ? kMostSlots : 1);
           slots >= least_slots; --slots) {
        if (Write(tasks, tokens, slots, 0) && shared_bytes <= bytes) return true;
      }
    }
    return false;
  }
  bool FitInPieces(int32_t most_bytes) {
    return Write(Tasks(), packed_ ? 32 : 16, 2, most_bytes) && shared_bytes <= shared_;
  }

  // Tables for tiles of so many tokens; most_bytes 0: of whole rows. Sets everything.
  bool Write(const std::vector<TaskHeads>& tasks, int32_t tokens, int32_t slots,
             int32_t most_bytes) {
    const auto pieces_of = [&](const TaskHeads& task, int32_t form, int32_t of_tokens) {
      if (most_bytes > 0) return Pieces(task, form, of_tokens, most_bytes);
      return std::vector<PieceBuilder>{WholeRows(task, form)};
    };
    // Where rows are packed, those of the window take tiles of fewer tokens.
    const auto most = [&](int32_t form, int32_t of_tokens) {
      int32_t largest = 0;
      for (const TaskHeads& task : tasks) {
        std::vector<PieceBuilder> pieces = pieces_of(task, form, of_tokens);
        for (PieceBuilder& builder : pieces) {
          std::vector<GpuTileLine> ignored;
          builder.Finish(&ignored);
          largest = std::max(largest, builder.piece.Bytes(of_tokens));
        }
      }
      return largest;
    };
    sizes = {};
    sizes.slots = slots;
    sizes.slot_bytes = most(kRowsForm, tokens);
    int32_t form_tokens[kRowForms] = {tokens, tokens, tokens};
    for (const int32_t form : {kExactForm, kFirstForm}) {
      if (!HasForm(form)) continue;
      int32_t n = tokens;
      while (n > 16 && most(form, n) > sizes.slot_bytes) n /= 2;
      form_tokens[form] = n;
      sizes.slot_bytes = std::max(sizes.slot_bytes, most(form, n));
    }
    sizes.slot_bytes = static_cast<int32_t>(RoundUp(sizes.slot_bytes, 128));
    for (const int32_t n : form_tokens)
      sizes.score_bytes = std::max(sizes.score_bytes, ScoreBytes(n));
    sizes.query_pitch = QueryUnits();

    std::vector<GpuTileLine> lines;
    std::vector<std::vector<int32_t>> written;
    for (const TaskHeads& task : tasks) {
      written.push_back(WriteTask(task, form_tokens, pieces_of, &lines));
      sizes.task_bytes =
          std::max(sizes.task_bytes, static_cast<int32_t>(written.back().size()) * 4);
    }
    shared_bytes = FixedBytes(sizes.task_bytes, sizes.score_bytes) +
                   variant.units() * slots * sizes.slot_bytes;
    Assemble(written, lines);
    sizes.tasks = static_cast<int32_t>(tasks.size());
    sizes.queries = queries_;
    sizes.heads = layout_.heads;
    sizes.residual = options_.residual;
    sizes.sink = options_.sink;
    sizes.scalars = static_cast<int32_t>(places_[kRowsForm].scalars);
    sizes.value_length = longest_value_;
    SetSplits();
    return true;
  }

  bool HasForm(int32_t form) const {
    return form == kRowsForm || (form == kExactForm ? options_.residual : options_.sink) > 0;
  }

  template <typename T>
  static void Append(const T& value, std::vector<int32_t>* to) {
    int32_t integers[sizeof(T) / 4];
    std::memcpy(integers, &value, sizeof value);
    to->insert(to->end(), std::begin(integers), std::end(integers));
  }

  template <typename PiecesOf>
  std::vector<int32_t> WriteTask(const TaskHeads& heads, const int32_t (&form_tokens)[kRowForms],
                                 const PiecesOf& pieces_of, std::vector<GpuTileLine>* lines) const {
    std::vector<int32_t> columns, pieces;
    for (int32_t c = 0; c < variant.columns; ++c) {
      const int32_t column = heads.first_column + c;
      const int32_t kv = column / ColumnsPerKv(), in_kv = column % ColumnsPerKv();
      GpuColumn to = {-1, 0, static_cast<int32_t>(heads.kv_heads.size()) - 1, 0};
      if (c < heads.columns) {
        to = {heads.kv_heads[static_cast<size_t>(kv)] * HeadsPerKv() + in_kv / queries_,
              in_kv % queries_, kv, kv};
      }
      if (layout_.rope_groups == 1) to.rope = 0;
      Append(to, &columns);
    }
    GpuTask task = {};
    const TaskRows rows = RowsOf(heads, kRowsForm);
    task.rope_groups = static_cast<int32_t>(rows.rope.size());
    task.rope_length = layout_.rope_dim;
    task.key_length = rows.key ? rows.key->format.length : 0;
    task.value_begin = heads.value_begin;
    task.value_length = heads.value_length;
    const int32_t header = static_cast<int32_t>(sizeof(GpuTask) / 4 + columns.size());
    for (int32_t form = 0; form < kRowForms; ++form) {
      GpuTileForm& to = task.forms[form];
      to.tokens = form_tokens[form];
      if (!HasForm(form)) continue;
      to.piece = header + static_cast<int32_t>(pieces.size());
      std::vector<PieceBuilder> builders = pieces_of(heads, form, to.tokens);
      for (PieceBuilder& builder : builders) {
        builder.Finish(lines);
        Append(builder.piece, &pieces);
        const bool first = to.pieces == 0;
        if (first || builder.piece.score_end > builder.piece.score_begin) ++to.score_pieces;
        ++to.pieces;
      }
    }
    task.integers = header + static_cast<int32_t>(pieces.size());
    std::vector<int32_t> all;
    Append(task, &all);
    all.insert(all.end(), columns.begin(), columns.end());
    all.insert(all.end(), pieces.begin(), pieces.end());
    return all;
  }

  // Where each task begins, each head's value length, the tasks, the lines. Pieces know their lines
  // from the tables' beginning.
  void Assemble(const std::vector<std::vector<int32_t>>& tasks,
                const std::vector<GpuTileLine>& lines) {
    tables.clear();
    int64_t at = RoundUp(static_cast<int64_t>(tasks.size()) + layout_.heads, 4);
    for (const auto& task : tasks) {
      tables.push_back(static_cast<int32_t>(at));
      at += RoundUp(static_cast<int64_t>(task.size()), 4);
    }
    for (int32_t h = 0; h < layout_.heads; ++h) {
      tables.push_back(layout_.value_length(h / HeadsPerKv()));
    }
    const int32_t first_line = static_cast<int32_t>(at / 4);
    for (const auto& task : tasks) {
      tables.resize(static_cast<size_t>(RoundUp(static_cast<int64_t>(tables.size()), 4)));
      const size_t begin = tables.size();
      tables.insert(tables.end(), task.begin(), task.end());
      GpuTask of;
      std::memcpy(&of, &tables[begin], sizeof of);
      for (const GpuTileForm& form : of.forms) {
        for (int32_t p = 0; p < form.pieces; ++p) {
          tables[begin + static_cast<size_t>(form.piece) +
                 static_cast<size_t>(p) * sizeof(GpuTilePiece) / 4] += first_line;
        }
      }
    }
    tables.resize(static_cast<size_t>(at));
    for (const GpuTileLine& line : lines) Append(line, &tables);
  }

  // A split costs its queries, and partial sums that are written and read again: a quarter of what
  // its tokens cost at most, where the GPU can be filled so; more splits than run at once would not
  // make it faster.
  void SetSplits() {
    const int64_t units = variant.units();
    const int64_t overhead =
        int64_t{variant.columns} * (int64_t{sizes.query_pitch} * 16 / units + 8 * longest_value_);
    const PagePlaces& places = places_[kRowsForm];
    const int64_t token = std::max<int64_t>(1, places.page_bytes / kPageTokens / sizes.tasks);
    sizes.least_split = static_cast<int32_t>(
        std::clamp<int64_t>(RoundUp(4 * overhead / token, kPageTokens), kPageTokens, 1024));
  }

  const LayerLayout& layout_;
  const CacheOptions options_;
  const int32_t queries_;
  const int32_t shared_;
  const PagePlaces places_[kRowForms];
  bool packed_ = false;
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
  Planner planner(layout, options, queries, stream.shared_bytes());
  if (!planner.Plan()) {
    return Status(MLA_UNSUPPORTED, "attention on the GPU: " + planner.Needs() +
                                       " are more than its shared memory of " +
                                       std::to_string(stream.shared_bytes()) + " bytes holds");
  }
  GpuAttentionPlan plan;
  plan.variant_ = planner.variant;
  plan.sizes_ = planner.sizes;
  plan.shared_bytes_ = planner.shared_bytes;
  plan.tables_ = std::move(planner.tables);
  const int32_t side_by_side = std::max(1, stream.shared_bytes() / plan.shared_bytes_);
  const int64_t units =
      int64_t{stream.processors()} * std::min(side_by_side, 4) * plan.variant_.units();
  plan.sizes_.most_splits = static_cast<int32_t>(std::max<int64_t>(1, units / plan.sizes_.tasks));
  return plan;
}

int32_t GpuAttentionPlan::MostSplits(int32_t bucket, int32_t window) const {
  const int32_t seen =
      window > 0 ? std::min<int64_t>(bucket, int64_t{window} + sizes_.queries - 1) : bucket;
  return sizes_.Splits(std::max(1, seen));
}

int64_t GpuAttentionPlan::WorkspaceBytes(int32_t sequences, int32_t bucket, int32_t window) const {
  const int64_t splits = MostSplits(bucket, window);
  if (splits == 1) return 0;
  return int64_t{sequences} * splits * sizes_.queries * sizes_.heads * sizes_.partial_floats() * 4;
}

}  // namespace mla
