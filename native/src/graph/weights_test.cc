// What a damaged or foreign model file gets: an error that names the key or tensor and what was
// expected.
#include "graph/weights.h"

#include <gtest/gtest.h>

#include "graph/tiny_model_testing.h"

namespace mla {
namespace {

TinyModel Converted() {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.rope_dim = 6;
  return TinyModel(shape, 1);
}

TinyModel WholeNorms() {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.whole_norms = true;
  shape.rope_groups = 1;
  shape.rope_dim = 6;
  return TinyModel(shape, 1);
}

void ExpectError(TinyModel& model, mla_status code, const std::string& name,
                 const std::string& words) {
  const Status status = Weights::Load(model.File()).status();
  EXPECT_EQ(status.code(), code) << status.message();
  EXPECT_NE(status.message().find(name), std::string::npos) << status.message();
  EXPECT_NE(status.message().find(words), std::string::npos) << status.message();
}

void ExpectEveryMissingTensorIsNamed(const TinyModel& whole) {
  TinyModel names = whole;
  for (const auto& [name, tensor] : names.tensors()) {
    if (name == "output.weight") continue;  // tied to the embedding when absent
    TinyModel model = whole;
    model.tensors().erase(name);
    // Without attn_kv_a the layer reads as uncompressed, and the first tensor of that form is what
    // is missing.
    const bool form = name.find("attn_kv_a") != std::string::npos;
    ExpectError(model, MLA_BAD_FILE, form ? "attn_k_nope.weight" : name, "is missing");
  }
}

TEST(WeightsTest, EveryMissingTensorIsNamed) {
  ExpectEveryMissingTensorIsNamed(Converted());
  ExpectEveryMissingTensorIsNamed(WholeNorms());
}

void ExpectEveryWrongShapeIsNamed(const TinyModel& whole) {
  TinyModel names = whole;
  for (const auto& [name, tensor] : names.tensors()) {
    TinyModel model = whole;
    TinyModel::Tensor& wrong = model.tensors()[name];
    wrong.dims[0] += 1;
    int64_t elements = 1;
    for (int64_t dim : wrong.dims) elements *= dim;
    wrong.data.resize(static_cast<size_t>(elements));
    ExpectError(model, MLA_BAD_FILE, name, "expected");
  }
}

TEST(WeightsTest, EveryWrongShapeIsNamed) {
  ExpectEveryWrongShapeIsNamed(Converted());
  ExpectEveryWrongShapeIsNamed(WholeNorms());
}

TEST(WeightsTest, WholeHeadsNormedAfterRotationAreRefused) {
  TinyShape shape = WholeNorms().shape();
  shape.norm_after_rope = true;
  TinyModel model(shape, 1);
  ExpectError(model, MLA_BAD_FILE, "attn_k_in.weight", "attention.norm_after_rope");
}

TEST(WeightsTest, EveryMissingKeyIsNamed) {
  for (const char* key : {"block_count", "embedding_length", "feed_forward_length",
                          "attention.head_count", "format_version"}) {
    TinyModel model = Converted();
    model.integers().erase(key);
    ExpectError(model, MLA_BAD_FILE, std::string("mha2mla.") + key, "is missing");
  }
}

TEST(WeightsTest, ContradictionsAreNamed) {
  TinyModel heads = Converted();
  heads.integers()["attention.head_count_kv"] = 3;
  ExpectError(heads, MLA_BAD_FILE, "attention.head_count_kv", "does not divide");
  TinyModel odd = Converted();
  odd.integer_lists()["rope.dimension_counts"][1] = 5;
  ExpectError(odd, MLA_BAD_FILE, "rope.dimension_counts", "odd");
  TinyModel few = Converted();
  few.integer_lists()["rope.dimension_counts"].pop_back();
  ExpectError(few, MLA_BAD_FILE, "rope.dimension_counts", "expected 2");
  TinyModel groups = Converted();
  groups.integer_lists()["attention.rope_group_counts"][0] = 0;
  ExpectError(groups, MLA_BAD_FILE, "attention.rope_group_counts", "expected 1 or 2");
  TinyModel negative = Converted();
  negative.integers()["block_count"] = 0;
  ExpectError(negative, MLA_BAD_FILE, "block_count", "expected 1 to");
}

// Without this a head's norm would reach over the end of its row.
TEST(WeightsTest, NormsOfHeadsOfAnotherLengthAreRefused) {
  for (const char* name : {"attn_q_norm.weight", "attn_k_norm.weight"}) {
    TinyShape shape;
    shape.compression = Compression::kJoint;
    shape.rope_groups = 2;
    shape.rope_dim = 4;
    shape.nope_dim = 5;
    TinyModel model(shape, 1);
    const int64_t heads = name[5] == 'q' ? 1 : shape.kv_heads;
    const int64_t length = heads * shape.head;
    model.tensors()[std::string("blk.1.") + name] = {
        {length}, std::vector<float>(static_cast<size_t>(length), 1.0f)};
    ExpectError(model, MLA_BAD_FILE, std::string("blk.1.") + name, "norms heads of 16 dims");
  }
}

TEST(WeightsTest, NewerFormatIsRefused) {
  TinyModel model = Converted();
  model.integers()["format_version"] = 2;
  ExpectError(model, MLA_UNSUPPORTED, "format_version", "reads up to 1");
}

TEST(WeightsTest, ForeignArchitectureIsRefused) {
  TinyShape shape;
  shape.family = "gemma3";
  TinyModel model(shape, 1);
  ExpectError(model, MLA_UNSUPPORTED, "gemma3", "expected llama");
}

TEST(WeightsTest, LayoutsOfTheInstances) {
  TinyShape shape;
  shape.rope_dim = 6;
  shape.compression = Compression::kSplit;
  const auto split = Weights::Load(TinyModel(shape, 1).File()).value();
  const LayerLayout& layout = split->shape().cache_layouts[0];
  EXPECT_EQ(layout.latent, 24);
  ASSERT_EQ(layout.segments.size(), 2u);
  EXPECT_EQ(layout.key_segment, (std::vector<int32_t>{0, 0}));
  EXPECT_EQ(layout.value_segment, (std::vector<int32_t>{1, 1}));
  shape.compression = Compression::kPlain;
  const auto plain = Weights::Load(TinyModel(shape, 1).File()).value();
  const LayerLayout& gqa = plain->shape().cache_layouts[0];
  EXPECT_EQ(gqa.rope_dim, 16);
  EXPECT_EQ(gqa.latent, 32);
  EXPECT_EQ(gqa.key_segment, (std::vector<int32_t>{-1, -1}));
  EXPECT_EQ(gqa.value_segment, (std::vector<int32_t>{0, 1}));
  EXPECT_FALSE(plain->shape().converted);
}

}  // namespace
}  // namespace mla
