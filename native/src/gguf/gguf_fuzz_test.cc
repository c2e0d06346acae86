// Damaged files: whatever is wrong with them, opening one gives an error in words or a file that
// can be read whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "gguf/gguf_file.h"
#include "gguf/gguf_value.h"
#include "mla/mla.h"

namespace mla {
namespace {

constexpr const char* kFixtures[] = {"models/stories260K.gguf",
                                     "fixtures/vocab/ggml-vocab-gpt-2.gguf",
                                     "fixtures/vocab/ggml-vocab-llama-spm.gguf"};
constexpr int kTruncations = 200;
constexpr int kFlips = 1000;
constexpr int kApiEvery =
    50;  // of the damaged files, how many also go through a file and the C API

std::vector<uint8_t> Load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

size_t Touch(const uint8_t* data, int64_t size) {
  return size > 0 ? size_t{data[0]} + data[size - 1] : 0;
}

// Reads all that the file claims to hold; a sanitizer sees every byte that is not there.
size_t Walk(const GgufFile& file) {
  size_t sum = 0;
  for (const GgufKey& key : file.keys()) {
    sum += static_cast<size_t>(EndOfValues(key.element_type, key.count, key.data) - key.data);
    if (key.element_type == MLA_VALUE_STRING) {
      const uint8_t* p = key.data;
      for (uint64_t i = 0; i < key.count; ++i) {
        const std::string_view text = LoadString(p, &p);
        sum +=
            Touch(reinterpret_cast<const uint8_t*>(text.data()), static_cast<int64_t>(text.size()));
      }
    }
    sum += file.Integers(key.name).ok() + file.Reals(key.name).ok();
    EXPECT_EQ(file.FindKey(key.name), &key);
  }
  for (const GgufTensor& tensor : file.tensors()) {
    sum += Touch(tensor.data, tensor.byte_size);
    EXPECT_EQ(file.FindTensor(tensor.name), &tensor);
  }
  return sum;
}

void WalkApi(const std::string& path) {
  mla_gguf g = 0;
  if (mla_gguf_open(path.c_str(), &g) != MLA_OK) {
    EXPECT_NE(std::string(mla_last_error()).find(path), std::string::npos) << mla_last_error();
    return;
  }
  int64_t keys = 0, tensors = 0;
  ASSERT_EQ(mla_gguf_counts(g, &keys, &tensors), MLA_OK);
  for (int64_t i = 0; i < keys; ++i) {
    int32_t element_type = 0;
    int64_t count = 0;
    ASSERT_EQ(mla_gguf_key_info(g, i, nullptr, 0, nullptr, nullptr, &element_type, &count), MLA_OK);
    std::vector<int64_t> values(static_cast<size_t>(count) + 1);
    if (element_type == MLA_VALUE_STRING) {
      ASSERT_EQ(mla_gguf_read_strings(g, i, values.data(), count + 1, nullptr, 0), MLA_OK);
      std::vector<uint8_t> bytes(static_cast<size_t>(values.back()));
      ASSERT_EQ(mla_gguf_read_strings(g, i, values.data(), count + 1, bytes.data(), values.back()),
                MLA_OK);
    } else if (element_type != MLA_VALUE_ARRAY && !IsRealValue(element_type)) {
      ASSERT_EQ(mla_gguf_read_integers(g, i, values.data(), count), MLA_OK);
    }
  }
  for (int64_t i = 0; i < tensors; ++i) {
    int64_t dims[4];
    int64_t size = 0;
    ASSERT_EQ(mla_gguf_tensor_info(g, i, nullptr, 0, nullptr, nullptr, nullptr, dims, &size),
              MLA_OK);
    uint8_t last = 0;
    ASSERT_EQ(mla_gguf_read_tensor_bytes(g, i, size - 1, 1, &last), MLA_OK);
    std::vector<float> row(static_cast<size_t>(dims[0]));
    ASSERT_EQ(mla_gguf_read_tensor_f32(g, i, 0, dims[0], row.data()), MLA_OK);
  }
  ASSERT_EQ(mla_gguf_close(g), MLA_OK);
}

class Damage : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    path_ = std::string(MLA_SHARED_DIR) + "/" + GetParam();
    if (!std::filesystem::exists(path_)) GTEST_SKIP() << path_ << " is absent";
    bytes_ = Load(path_);
    ASSERT_FALSE(bytes_.empty());
    copy_ =
        testing::TempDir() + "gguf_fuzz_test_" + std::filesystem::path(path_).filename().string();
  }
  void TearDown() override {
    if (!copy_.empty()) std::filesystem::remove(copy_);
  }

  // True where the damaged file opened.
  bool Open(std::vector<uint8_t> damaged, int number) {
    if (number % kApiEvery == 0) {
      std::ofstream(copy_, std::ios::binary)
          .write(reinterpret_cast<const char*>(damaged.data()),
                 static_cast<std::streamsize>(damaged.size()));
      WalkApi(copy_);
    }
    damaged.shrink_to_fit();
    const auto result = GgufFile::FromMemory(std::move(damaged), "damaged.gguf");
    if (result.ok()) {
      walked_ += Walk(*result.value());
      return true;
    }
    const Status status = result.status();
    EXPECT_TRUE(status.code() == MLA_BAD_FILE || status.code() == MLA_UNSUPPORTED);
    EXPECT_EQ(status.message().find("damaged.gguf: "), 0u) << status.message();
    EXPECT_TRUE(std::all_of(status.message().begin(), status.message().end(),
                            [](char c) { return static_cast<uint8_t>(c) >= 0x20; }));
    return false;
  }

  std::string path_, copy_;
  std::vector<uint8_t> bytes_;
  size_t walked_ = 0;
};

TEST_P(Damage, TruncatedFilesAreRefused) {
  std::mt19937_64 random(1);
  const bool has_tensors = !GgufFile::Open(path_).value()->tensors().empty();
  for (int i = 0; i < kTruncations; ++i) {
    const size_t size = random() % bytes_.size();
    const std::vector<uint8_t> cut(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(size));
    const bool opened = Open(cut, i);
    // Where there are no tensors, the last bytes are padding that no one misses.
    EXPECT_TRUE(!opened || (!has_tensors && bytes_.size() - size < 32)) << "at byte " << size;
  }
}

TEST_P(Damage, FlippedBytesInTheHeaderAreRefusedOrHarmless) {
  size_t header = bytes_.size();
  const auto good = GgufFile::FromMemory(bytes_, "good.gguf").value();
  const uint8_t* first = good->keys()[0].data;
  for (const GgufTensor& tensor : good->tensors()) {  // keys lie before all data
    header = std::min(header, static_cast<size_t>(tensor.data - first) + 64);
  }
  std::mt19937_64 random(2);
  int refused = 0;
  for (int i = 0; i < kFlips; ++i) {
    std::vector<uint8_t> damaged = bytes_;
    // Half of them in the first kilobyte, where counts and types lie closest.
    const size_t range = i % 2 == 0 ? std::min<size_t>(header, 1024) : header;
    const size_t at = random() % range;
    damaged[at] = static_cast<uint8_t>(damaged[at] ^ (1 + random() % 255));
    refused += !Open(std::move(damaged), i);
  }
  EXPECT_GT(refused, kFlips / 20);
  EXPECT_LT(refused, kFlips);
  EXPECT_GT(walked_, 0u);
}

TEST_P(Damage, SeveralFlippedBytesAtOnce) {
  std::mt19937_64 random(3);
  const size_t range = std::min<size_t>(bytes_.size(), 4096);
  for (int i = 0; i < kFlips / 5; ++i) {
    std::vector<uint8_t> damaged = bytes_;
    for (int k = 0; k < 8; ++k)
      damaged[24 + random() % (range - 24)] = static_cast<uint8_t>(random());
    Open(std::move(damaged), i);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Damage, testing::ValuesIn(kFixtures), [](const auto& test) {
  std::string name = std::filesystem::path(test.param).stem().string();
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

}  // namespace
}  // namespace mla
