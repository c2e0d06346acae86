#include "kernels/attention/gpu_task_rows.h"

#include <algorithm>

#include "kernels/attention/rounding.h"

namespace mla {

struct GpuTaskRows::Rows {
  std::vector<const RowArray*> rope;
  const RowArray* key;  // null: none
  const RowArray* value;

  int32_t key_length() const { return key == nullptr ? 0 : key->format.length; }
  int32_t rope_strips() const {
    return rope.empty()
               ? 0
               : static_cast<int32_t>(rope.size()) * CeilDiv(rope[0]->format.length, kScoreStrip);
  }
};

GpuTaskRows::GpuTaskRows(const LayerLayout& layout, const CacheOptions& options)
    : layout_(layout),
      options_(WindowOptions(options)),
      places_{PlaceRows(options, layout), PlaceExactRows(options, layout, kPageTokens),
              PlaceExactRows(options, layout, options_.sink)} {
  bool packed = false, bfloats = true;
  for (const auto* rows : {&places_[kRowsForm].rope, &places_[kRowsForm].latent}) {
    for (const RowArray& row : *rows) {
      packed = packed || row.format.packed();
      bfloats = bfloats && row.format.type == CacheType::kBf16;
    }
  }
  rows_ = packed ? GpuRows::kPacked : bfloats ? GpuRows::kBfloats : GpuRows::kHalves;
}

bool GpuTaskRows::Has(GpuRowForm form) const {
  return form == kRowsForm || (form == kExactForm ? options_.residual : options_.sink) > 0;
}

int32_t GpuTaskRows::RopeGroups(const GpuTaskHeads& task) const {
  return static_cast<int32_t>(RowsOf(task, kRowsForm).rope.size());
}

GpuTaskRows::Rows GpuTaskRows::RowsOf(const GpuTaskHeads& task, GpuRowForm form) const {
  const PagePlaces& places = places_[form];
  Rows rows = {};
  for (const int32_t g : task.kv_heads) {
    if (layout_.rope_dim == 0 || (layout_.rope_groups == 1 && !rows.rope.empty())) break;
    rows.rope.push_back(&places.rope[static_cast<size_t>(layout_.rope_group(g))]);
  }
  const size_t g = static_cast<size_t>(task.kv_heads[0]);
  const int32_t key = layout_.key_segment[g], value = layout_.value_segment[g];
  if (key >= 0) rows.key = &places.latent[static_cast<size_t>(key)];
  rows.value = &places.latent[static_cast<size_t>(value)];
  return rows;
}

void GpuTaskRows::AddRope(const Rows& rows, GpuPieceBuilder* builder) const {
  for (const RowArray* row : rows.rope) {
    const GpuTileArray array = builder->Add(*row, 0, layout_.rope_dim);
    if (row == rows.rope[0]) builder->piece.rope = array;
  }
  builder->piece.score_end = rows.rope_strips();
}

void GpuTaskRows::AddScalars(const GpuTaskHeads& task, GpuPieceBuilder* builder) const {
  if (!layout_.key_scalar) return;
  for (const int32_t g : task.kv_heads) builder->AddScalars(places_[kRowsForm].scalars, g);
}

GpuPieceBuilder GpuTaskRows::Whole(const GpuTaskHeads& task, GpuRowForm form,
                                   int32_t tokens) const {
  const Rows rows = RowsOf(task, form);
  GpuPieceBuilder builder(tokens, rows_);
  GpuTilePiece& piece = builder.piece;
  AddRope(rows, &builder);
  AddScalars(task, &builder);
  if (rows.key != nullptr) piece.key = builder.Add(*rows.key, 0, rows.key_length());
  const int32_t begin = task.value_begin;
  if (rows.value == rows.key) {
    piece.value = GpuPieceBuilder::From(*rows.value, piece.key, begin);
  } else {
    piece.value = builder.Add(*rows.value, begin, begin + task.value_length);
  }
  piece.score_end += CeilDiv(rows.key_length(), kScoreStrip);
  piece.value_end = CeilDiv(task.value_length, kValueStrip);
  return builder;
}

std::vector<GpuPieceBuilder> GpuTaskRows::Pieces(const GpuTaskHeads& task, GpuRowForm form,
                                                 int32_t tokens, int32_t bytes) const {
  const Rows rows = RowsOf(task, form);
  // How many elements of a row fit beside `taken` bytes, in whole strips.
  const auto room = [&](const RowArray& row, int32_t taken) {
    GpuPieceBuilder one(tokens, rows_);
    one.Add(row, 0, kValueStrip);
    constexpr int32_t kBetween = 256;  // what alignment may take
    return (bytes - taken - kBetween) / one.Bytes() * kValueStrip;
  };
  std::vector<GpuPieceBuilder> pieces(1, GpuPieceBuilder(tokens, rows_));
  AddRope(rows, &pieces[0]);
  for (int32_t begin = 0; begin < rows.key_length();) {
    int32_t most = begin == 0 ? room(*rows.key, pieces[0].Bytes()) : 0;
    if (most < kValueStrip && pieces.back().piece.score_end > 0) {
      pieces.emplace_back(tokens, rows_).piece.score_begin =
          rows.rope_strips() + begin / kScoreStrip;
    }
    if (most < kValueStrip) most = std::max(room(*rows.key, 0), kValueStrip);
    const int32_t end = std::min(rows.key_length(), begin + most);
    GpuPieceBuilder& builder = pieces.back();
    builder.piece.key =
        GpuPieceBuilder::From(*rows.key, builder.Add(*rows.key, begin, end), -begin);
    builder.piece.score_end = rows.rope_strips() + CeilDiv(end, kScoreStrip);
    begin = end;
  }
  AddScalars(task, &pieces.back());  // where scores become whole
  const int32_t most = std::max(room(*rows.value, 0), kValueStrip);
  for (int32_t begin = 0; begin < task.value_length; begin += most) {
    const int32_t end = std::min(task.value_length, begin + most);
    GpuPieceBuilder& builder = pieces.emplace_back(tokens, rows_);
    const GpuTileArray array =
        builder.Add(*rows.value, task.value_begin + begin, task.value_begin + end);
    builder.piece.value = GpuPieceBuilder::From(*rows.value, array, -begin);
    builder.piece.value_begin = begin / kValueStrip;
    builder.piece.value_end = CeilDiv(end, kValueStrip);
  }
  return pieces;
}

}  // namespace mla
