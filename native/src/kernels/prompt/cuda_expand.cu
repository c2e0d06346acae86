#include "cache/group_arithmetic.h"
#include "cuda/simt.h"
#include "kernels/prompt/gpu_expand.h"

namespace mla::MLA_GPU {
namespace {

constexpr int kThreads = 256;
constexpr int kUnit = 8;  // elements that a thread has of a row

struct Eight {
  float of[kUnit];
};

// The numbers of a packed row's elements from `element` on, a multiple of eight: those behind the
// row's end are zero.
MLA_DEVICE Eight WidenPacked(const RowArray& rows, const uint8_t* page, int slot, int element) {
  const RowFormat& format = rows.format;
  const int block = format.block_elements();
  const uint8_t* from = page + rows.values + slot * format.stride;
  const auto load = [&](int b) {
    return *reinterpret_cast<const uint32_t*>(from + b * kBlockStride);
  };
  // int8: two blocks; int2: half a one.
  const uint32_t first = load(element / block);
  const uint32_t second =
      block == 4 && element + 4 < format.length ? load(element / block + 1) : first;
  const uint16_t* numbers = reinterpret_cast<const uint16_t*>(page + rows.scales) +
                            element / format.group * format.scales_per_group * kPageTokens + slot;
  const float scale = HalfToFloat(numbers[0]);
  const float minimum = format.scales_per_group == 2 ? HalfToFloat(numbers[kPageTokens]) : 0.0f;
  const int bits = 8 / format.fields(), zero = ZeroField(format.type);
  Eight eight;
  MLA_UNROLL
  for (int i = 0; i < kUnit; ++i) {
    const uint32_t word = block == 4 && i >= 4 ? second : first;
    const int shift = format.field_shift((element + i) % block);
    const int field = static_cast<int>(word >> shift & ((1u << bits) - 1));
    eight.of[i] =
        element + i < format.length ? scale * static_cast<float>(field - zero) + minimum : 0.0f;
  }
  return eight;
}

MLA_DEVICE Eight WidenFloats(const RowArray& rows, const uint8_t* page, int slot, int element) {
  const uint8_t* row = page + rows.values + slot * rows.format.stride;
  Eight eight;
  const uint8_t* halves = row + element * 2;
  if (rows.format.type == CacheType::kF16 && element + kUnit <= rows.format.length &&
      reinterpret_cast<uintptr_t>(halves) % 16 == 0) {
    const Quad quad = LoadQuad(halves);
    MLA_UNROLL
    for (int i = 0; i < kUnit; ++i) {
      eight.of[i] = HalfToFloat(static_cast<uint16_t>(quad.word[i / 2] >> (i % 2 * 16)));
    }
    return eight;
  }
  MLA_UNROLL
  for (int i = 0; i < kUnit; ++i) {
    const int e = element + i;
    eight.of[i] = e >= rows.format.length               ? 0.0f
                  : rows.format.type == CacheType::kF32 ? reinterpret_cast<const float*>(row)[e]
                  : rows.format.type == CacheType::kBf16
                      ? Bfloat16ToFloat(reinterpret_cast<const uint16_t*>(row)[e])
                      : HalfToFloat(reinterpret_cast<const uint16_t*>(row)[e]);
  }
  return eight;
}

MLA_DEVICE void StoreHalves(const Eight& eight, int count, uint16_t* to) {
  MLA_UNROLL
  for (int i = 0; i < kUnit; i += 4) {
    if (i >= count) break;
    FourHalves four;
    MLA_UNROLL
    for (int j = 0; j < 2; ++j) {
      four.word[j] =
          PackHalves(ClampToHalf(eight.of[i + 2 * j]), ClampToHalf(eight.of[i + 2 * j + 1]));
    }
    *reinterpret_cast<FourHalves*>(to + i) = four;
  }
}

MLA_DEVICE void StoreFloats(const Eight& eight, int count, float* to) {
  MLA_UNROLL
  for (int i = 0; i < kUnit; i += 4) {
    if (i >= count) break;
    Quad quad;
    MLA_UNROLL
    for (int j = 0; j < 4; ++j) quad.word[j] = BitsOfFloat(eight.of[i + j]);
    *reinterpret_cast<Quad*>(to + i) = quad;
  }
}

// The page of a form that a token is in.
MLA_DEVICE const uint8_t* PageOf(const ExpandArgs& a, int form, int position) {
  uint8_t* const* table = *a.pages;
  const int page = position / kPageTokens;
  return form == kFirstForm   ? table[a.places.First(a.layer)]
         : form == kExactForm ? table[a.places.Exact(a.layer, page)]
                              : table[a.places.Rows(a.layer, page)];
}

MLA_DEVICE void Store(const ExpandArgs& a, const GpuExpandPiece& piece, int row, int unit,
                      const Eight& eight) {
  const int element = piece.begin + unit * kUnit, count = piece.end - element;
  const GpuPromptSizes& s = a.sizes;
  if (piece.target == GpuExpandPiece::kLatents) {
    StoreFloats(eight, count, a.latents + int64_t{row} * s.latent_elements + element);
    return;
  }
  const bool keys = piece.target == GpuExpandPiece::kKeys;
  const int elements = keys ? s.key_elements : s.value_elements;
  for (int g = piece.kv_head; g < piece.kv_head + piece.kv_heads; ++g) {
    StoreHalves(eight, count,
                (keys ? a.keys : a.values) + (int64_t{g} * a.tokens + row) * elements + element);
  }
}

MLA_DEVICE void CopyScalars(const ExpandArgs& a, const PromptTile& tile) {
  for (int i = ThreadIndex(); i < a.sizes.kv_heads * kPromptTileTokens; i += kThreads) {
    const int g = i / kPromptTileTokens, token = i % kPromptTileTokens;
    const int position = tile.position + token;
    float scalar = 0.0f;  // where there is no token
    if (token < tile.tokens) {
      const uint8_t* page = PageOf(a, kRowsForm, position) + a.sizes.page_scalars;
      scalar = reinterpret_cast<const float*>(page)[g * kPageTokens + position % kPageTokens];
    }
    a.scalars[int64_t{g} * a.tokens + tile.row + token] = scalar;
  }
}

// Grid: tiles, pieces and behind them the scalars. Neighbouring lanes have neighbouring tokens of
// packed rows and neighbouring elements of others, as both lie in pages.
MLA_KERNEL void Expand(const ExpandArgs a) {
  WaitForEarlier();
  LetLaterStart();
  const PromptTile tile = TileOf(a.batch, BlockX());
  if (a.sizes.key_scalar && BlockY() == 0) {
    CopyScalars(a, tile);
    return;
  }
  const GpuExpandPiece& piece = a.pieces[BlockY() - (a.sizes.key_scalar ? 1 : 0)];
  const RowArray rows = piece.rows[tile.form];
  const bool packed = rows.format.packed();
  const int units = (piece.end - piece.begin + kUnit - 1) / kUnit;
  for (int i = ThreadIndex(); i < units * kPromptTileTokens; i += kThreads) {
    const int token = packed ? i % kPromptTileTokens : i / units;
    const int unit = packed ? i / kPromptTileTokens : i % units;
    if (token >= tile.tokens) continue;
    Eight eight = {};
    const int position = tile.position + token, element = unit * kUnit;
    if (element < rows.format.length) {
      const uint8_t* page = PageOf(a, tile.form, position);
      const int slot = position % kPageTokens;
      eight =
          packed ? WidenPacked(rows, page, slot, element) : WidenFloats(rows, page, slot, element);
    }
    Store(a, piece, tile.row + token, unit, eight);
  }
}

}  // namespace

void LaunchExpand(GpuStream& stream, const ExpandArgs& args, int32_t pieces) {
  const int parts = pieces + (args.sizes.key_scalar ? 1 : 0);
  Launch(stream, {TilesOf(args.batch), parts}, kThreads, 0, Expand, args);
}

}  // namespace mla::MLA_GPU
