#include "gguf/gguf_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>

#include "gguf/gguf_value.h"

namespace mla {
namespace {

// A file written by hand, byte by byte, so that every field can be made wrong.
class Builder {
 public:
  template <class T>
  Builder& Put(T value) {
    const auto* p = reinterpret_cast<const uint8_t*>(&value);
    bytes_.insert(bytes_.end(), p, p + sizeof value);
    return *this;
  }
  Builder& Text(std::string_view s) {
    Put<uint64_t>(s.size());
    bytes_.insert(bytes_.end(), s.begin(), s.end());
    return *this;
  }
  Builder& Head(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    return Put<uint32_t>(0x46554747).Put(version).Put(tensors).Put(keys);
  }
  Builder& Key(std::string_view name, uint32_t type) { return Text(name).Put(type); }
  Builder& ArrayKey(std::string_view name, uint32_t type, uint64_t count) {
    return Key(name, MLA_VALUE_ARRAY).Put(type).Put(count);
  }
  Builder& Tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type,
                  uint64_t offset) {
    Text(name).Put(static_cast<uint32_t>(dims.size()));
    for (uint64_t d : dims) Put(d);
    return Put(type).Put(offset);
  }
  Builder& Data(size_t size, size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    for (size_t i = 0; i < size; ++i) bytes_.push_back(static_cast<uint8_t>(i));
    return *this;
  }
  Result<std::shared_ptr<const GgufFile>> Open() const {
    return GgufFile::FromMemory(bytes_, "bad.gguf");
  }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

// Megabytes of mapped files in this process's memory.
int64_t MappedMegabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("RssFile:", 0) == 0) return std::stoll(line.substr(8)) / 1024;
  }
  return -1;
}

void ExpectError(const Result<std::shared_ptr<const GgufFile>>& result, mla_status code,
                 std::initializer_list<const char*> words) {
  ASSERT_FALSE(result.ok());
  const Status status = result.status();
  EXPECT_EQ(status.code(), code) << status.message();
  for (const char* word : words) {
    EXPECT_NE(status.message().find(word), std::string::npos)
        << "'" << word << "' is not in: " << status.message();
  }
  EXPECT_EQ(status.message().find('\n'), std::string::npos) << status.message();
}

std::shared_ptr<const GgufFile> Good(const Builder& builder) {
  auto result = builder.Open();
  EXPECT_TRUE(result.ok()) << result.status().message();
  return result.ok() ? result.value() : nullptr;
}

TEST(GgufFile, ReadsEveryValueType) {
  Builder b;
  b.Head(0, 15);
  b.Key("u8", MLA_VALUE_U8).Put<uint8_t>(200);
  b.Key("i8", MLA_VALUE_I8).Put<int8_t>(-100);
  b.Key("u16", MLA_VALUE_U16).Put<uint16_t>(60000);
  b.Key("i16", MLA_VALUE_I16).Put<int16_t>(-30000);
  b.Key("u32", MLA_VALUE_U32).Put<uint32_t>(4000000000u);
  b.Key("i32", MLA_VALUE_I32).Put<int32_t>(-2000000000);
  b.Key("f32", MLA_VALUE_F32).Put(1.5f);
  b.Key("bool", MLA_VALUE_BOOL).Put<uint8_t>(1);
  b.Key("string", MLA_VALUE_STRING).Text("h\xc3\xa9llo");
  b.Key("u64", MLA_VALUE_U64).Put<uint64_t>(1ull << 63);
  b.Key("i64", MLA_VALUE_I64).Put<int64_t>(-(1ll << 62));
  b.Key("f64", MLA_VALUE_F64).Put(0.1);
  b.ArrayKey("ints", MLA_VALUE_I16, 3).Put<int16_t>(1).Put<int16_t>(-2).Put<int16_t>(3);
  b.ArrayKey("strings", MLA_VALUE_STRING, 3).Text("a").Text("").Text("ccc");
  b.ArrayKey("nested", MLA_VALUE_ARRAY, 2);
  b.Put<uint32_t>(MLA_VALUE_U8).Put<uint64_t>(2).Put<uint16_t>(0);
  b.Put<uint32_t>(MLA_VALUE_STRING).Put<uint64_t>(1).Text("deep");
  const auto file = Good(b);
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(file->keys().size(), 15u);
  EXPECT_EQ(file->Integer("u8").value(), 200);
  EXPECT_EQ(file->Integer("i8").value(), -100);
  EXPECT_EQ(file->Integer("u16").value(), 60000);
  EXPECT_EQ(file->Integer("i16").value(), -30000);
  EXPECT_EQ(file->Integer("u32").value(), 4000000000);
  EXPECT_EQ(file->Integer("i32").value(), -2000000000);
  EXPECT_EQ(file->Integer("i64").value(), -(1ll << 62));
  EXPECT_EQ(file->Real("f32").value(), 1.5);
  EXPECT_EQ(file->Real("f64").value(), 0.1);
  EXPECT_EQ(file->Real("i8").value(), -100);
  EXPECT_EQ(file->Real("u64").value(), 0x1p63);
  EXPECT_EQ(file->Bool("bool").value(), true);
  EXPECT_EQ(file->String("string").value(), "h\xc3\xa9llo");
  EXPECT_EQ(file->Integers("ints").value(), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file->Reals("ints").value(), (std::vector<double>{1, -2, 3}));
  EXPECT_EQ(file->Integers("u8").value(), std::vector<int64_t>{200});
  EXPECT_EQ(file->FindKey("nested")->element_type, MLA_VALUE_ARRAY);
  const GgufKey* strings = file->FindKey("strings");
  const uint8_t* p = strings->data;
  EXPECT_EQ(LoadString(p, &p), "a");
  EXPECT_EQ(LoadString(p, &p), "");
  EXPECT_EQ(LoadString(p, &p), "ccc");

  EXPECT_FALSE(file->Integer("absent").value().has_value());
  EXPECT_FALSE(file->Reals("absent").value().has_value());
  EXPECT_FALSE(file->Integer("u64").ok());
  for (const Status& status : {file->Integer("f32").status(), file->Integer("bool").status(),
                               file->Integer("ints").status(), file->Real("string").status(),
                               file->Real("ints").status(), file->Bool("u8").status(),
                               file->String("strings").status(), file->Integers("strings").status(),
                               file->Reals("nested").status(), file->Reals("bool").status()}) {
    EXPECT_EQ(status.code(), MLA_BAD_FILE);
    EXPECT_EQ(status.message().find("bad.gguf: key '"), 0u) << status.message();
    EXPECT_NE(status.message().find("expected"), std::string::npos) << status.message();
  }
}

TEST(GgufFile, ReadsTensorsOfBothVersions) {
  for (uint32_t version : {2u, 3u}) {
    Builder b;
    b.Head(2, 1, version).Key("general.alignment", MLA_VALUE_U32).Put<uint32_t>(64);
    b.Tensor("q", {64, 3}, MLA_TYPE_Q8_0, 64).Tensor("v", {5}, MLA_TYPE_F32, 0).Data(64 + 204, 64);
    const auto file = Good(b);
    ASSERT_NE(file, nullptr);
    const GgufTensor* q = file->FindTensor("q");
    ASSERT_NE(q, nullptr);
    EXPECT_EQ(q->n_dims, 2);
    EXPECT_EQ(q->elements(), 192);
    EXPECT_EQ(q->dims[3], 1);
    EXPECT_EQ(q->byte_size, 204);
    EXPECT_EQ(q->data[0], 64);
    EXPECT_EQ(file->FindTensor("v")->data[3], 3);
    EXPECT_EQ(file->FindTensor("x"), nullptr);
  }
}

TEST(GgufFile, RefusesWhatIsNoGguf) {
  const auto bytes = [](std::string_view s) {
    return GgufFile::FromMemory({s.begin(), s.end()}, "bad.gguf");
  };
  ExpectError(bytes(""), MLA_BAD_FILE, {"bad.gguf", "empty", "GGUF"});
  ExpectError(bytes("GG"), MLA_BAD_FILE, {"'GG'"});
  ExpectError(bytes("\x89PNG\r\n\x1a\n"), MLA_BAD_FILE, {"not a GGUF file", "PNG"});
  ExpectError(bytes("version https://git-lfs.github.com/spec/v1"), MLA_BAD_FILE, {"LFS"});
  ExpectError(bytes(std::string_view("\x10\0\0\0\0\0\0\0{\"a\":0}", 15)), MLA_BAD_FILE,
              {"safetensors"});
  ExpectError(bytes("GGUF"), MLA_BAD_FILE, {"version", "byte 4", "truncated"});
  ExpectError(Builder().Head(0, 0, 1).Open(), MLA_UNSUPPORTED, {"version 1", "expected 2 or 3"});
  ExpectError(Builder().Head(0, 0, 4).Open(), MLA_UNSUPPORTED, {"version 4"});
  ExpectError(Builder().Head(0, 0, 0).Open(), MLA_UNSUPPORTED, {"version 0"});
  ExpectError(Builder().Head(0, 0, 0x03000000).Open(), MLA_UNSUPPORTED, {"big-endian"});
}

TEST(GgufFile, RefusesFilesThatAreNone) {
  ExpectError(GgufFile::Open("/nonexistent/x.gguf"), MLA_NOT_FOUND, {"/nonexistent/x.gguf"});
  ExpectError(GgufFile::Open(testing::TempDir()), MLA_BAD_FILE, {"directory"});
  ExpectError(GgufFile::Open("/dev/null"), MLA_BAD_FILE, {"/dev/null", "regular file"});
  const std::string fifo = testing::TempDir() + "gguf_file_test_fifo";
  std::filesystem::remove(fifo);
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  ExpectError(GgufFile::Open(fifo), MLA_BAD_FILE, {"pipe"});  // and does not wait for a writer
  std::filesystem::remove(fifo);
  const std::string empty = testing::TempDir() + "gguf_file_test_empty";
  std::ofstream(empty).close();
  ExpectError(GgufFile::Open(empty), MLA_BAD_FILE, {empty.c_str(), "empty"});
  std::filesystem::remove(empty);
}

TEST(GgufFile, RefusesDamagedCountsAndKeys) {
  constexpr uint64_t kHuge = ~0ull;
  ExpectError(Builder().Head(kHuge, 0).Open(), MLA_BAD_FILE, {"tensor count", "byte 8"});
  ExpectError(Builder().Head(0, kHuge).Open(), MLA_BAD_FILE, {"key count", "byte 16"});
  const auto key = [](const std::function<void(Builder&)>& rest) {
    Builder b;
    b.Head(0, 1);
    rest(b);
    return b.Data(64, 1).Open();
  };
  ExpectError(key([](Builder& b) { b.Put(kHuge); }), MLA_BAD_FILE, {"key 1 of 1", "length"});
  ExpectError(key([](Builder& b) { b.Put<uint64_t>(60000); }), MLA_BAD_FILE, {"needs 60000"});
  ExpectError(key([](Builder& b) { b.Put<uint64_t>(0); }), MLA_BAD_FILE, {"length 0"});
  ExpectError(key([](Builder& b) { b.Text(std::string_view("a\0b", 3)); }), MLA_BAD_FILE,
              {"zero byte"});
  ExpectError(key([](Builder& b) { b.Key("k", 13); }), MLA_BAD_FILE, {"key 'k'", "type 13"});
  ExpectError(key([](Builder& b) { b.Key("k", kHuge & 0xffffffff); }), MLA_BAD_FILE,
              {"4294967295"});
  ExpectError(key([](Builder& b) { b.Key("k", MLA_VALUE_BOOL).Put<uint8_t>(2); }), MLA_BAD_FILE,
              {"key 'k'", "bool", "is 2"});
  ExpectError(key([](Builder& b) { b.Key("k", MLA_VALUE_STRING).Put(kHuge); }), MLA_BAD_FILE,
              {"key 'k'", "string 0"});
  for (uint32_t type : {MLA_VALUE_U8, MLA_VALUE_F64, MLA_VALUE_STRING, MLA_VALUE_ARRAY}) {
    for (uint64_t count : {uint64_t{65}, kHuge, kHuge / 8 + 1, uint64_t{1} << 61}) {
      ExpectError(key([=](Builder& b) { b.ArrayKey("list", type, count); }), MLA_BAD_FILE,
                  {"key 'list'", "file ends"});
    }
  }
  ExpectError(key([](Builder& b) {
                b.ArrayKey("deep", MLA_VALUE_ARRAY, 1);
                for (int i = 0; i < 1000; ++i) b.Put<uint32_t>(MLA_VALUE_ARRAY).Put<uint64_t>(1);
              }),
              MLA_BAD_FILE, {"key 'deep'", "nested"});
  Builder twice;
  twice.Head(0, 2).Key("k", MLA_VALUE_U8).Put<uint8_t>(1).Key("k", MLA_VALUE_U8).Put<uint8_t>(2);
  ExpectError(twice.Open(), MLA_BAD_FILE, {"key 'k'", "twice"});
  for (uint32_t alignment : {0u, 1u, 4u, 24u, 33u, 1u << 21, 1u << 31}) {
    ExpectError(key([=](Builder& b) { b.Key("general.alignment", MLA_VALUE_U32).Put(alignment); }),
                MLA_BAD_FILE, {"general.alignment", "power of two"});
  }
  ExpectError(key([](Builder& b) { b.Key("general.alignment", MLA_VALUE_U64).Put<uint64_t>(32); }),
              MLA_BAD_FILE, {"general.alignment", "u64", "expected u32"});
}

TEST(GgufFile, RefusesDamagedTensors) {
  const auto tensor = [](std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    return Builder().Head(1, 0).Tensor("blk.0.w", std::move(dims), type, offset).Data(256).Open();
  };
  EXPECT_TRUE(tensor({8, 8}, MLA_TYPE_F32, 0).ok());
  ExpectError(tensor({8, 9}, MLA_TYPE_F32, 0), MLA_BAD_FILE,
              {"'blk.0.w'", "data ends", "truncated"});
  ExpectError(tensor({8, 8}, MLA_TYPE_F32, 32), MLA_BAD_FILE, {"data ends"});
  ExpectError(tensor({8}, MLA_TYPE_F32, 1ull << 40), MLA_BAD_FILE, {"data ends"});
  ExpectError(tensor({8}, MLA_TYPE_F32, 0ull - 32), MLA_BAD_FILE, {"offset 18446744073709551584"});
  ExpectError(tensor({8}, MLA_TYPE_F32, 4), MLA_BAD_FILE, {"offset 4", "alignment 32"});
  ExpectError(tensor({}, MLA_TYPE_F32, 0), MLA_BAD_FILE, {"0 dimensions", "1 to 4"});
  ExpectError(tensor({1, 1, 1, 1, 1}, MLA_TYPE_F32, 0), MLA_BAD_FILE, {"5 dimensions"});
  ExpectError(tensor({8, 0}, MLA_TYPE_F32, 0), MLA_BAD_FILE, {"dimension 1", "is 0"});
  ExpectError(tensor({1ull << 63}, MLA_TYPE_F32, 0), MLA_BAD_FILE, {"dimension 0"});
  ExpectError(tensor({1ull << 32, 1ull << 32}, MLA_TYPE_F32, 0), MLA_BAD_FILE, {"dimension 1"});
  ExpectError(tensor({1ull << 29, 1ull << 30, 8}, MLA_TYPE_F32, 0), MLA_BAD_FILE, {"dimension 2"});
  ExpectError(tensor({48}, MLA_TYPE_Q8_0, 0), MLA_BAD_FILE,
              {"48 elements", "multiple of 32", "Q8_0"});
  ExpectError(tensor({128}, MLA_TYPE_Q4_K, 0), MLA_BAD_FILE, {"multiple of 256"});
  ExpectError(tensor({256}, 10, 0), MLA_UNSUPPORTED, {"'blk.0.w'", "Q2_K (10)", "expected F32"});
  ExpectError(tensor({256}, 31337, 0), MLA_UNSUPPORTED, {"'blk.0.w'", "number 31337"});
  Builder twice;
  twice.Head(2, 0).Tensor("w", {8}, 0, 0).Tensor("w", {8}, 0, 32).Data(64);
  ExpectError(twice.Open(), MLA_BAD_FILE, {"tensor 'w'", "twice"});
  Builder overlap;
  overlap.Head(2, 0).Tensor("a", {9}, 0, 0).Tensor("b", {8}, 0, 32).Data(64);
  ExpectError(overlap.Open(), MLA_BAD_FILE, {"tensor 'b'", "overlaps tensor 'a'"});
}

TEST(GgufFile, EveryTruncationIsRefused) {
  Builder b;
  b.Head(1, 2).Key("name", MLA_VALUE_STRING).Text("something");
  b.ArrayKey("list", MLA_VALUE_STRING, 2).Text("one").Text("two");
  b.Tensor("w", {8, 2}, MLA_TYPE_F32, 0).Data(64);
  ASSERT_NE(Good(b), nullptr);
  for (size_t size = 0; size < b.bytes().size(); ++size) {
    // A block of exactly this size, so that a sanitizer sees every byte read beyond it.
    std::vector<uint8_t> cut(b.bytes().begin(), b.bytes().begin() + static_cast<ptrdiff_t>(size));
    cut.shrink_to_fit();
    ExpectError(GgufFile::FromMemory(std::move(cut), "bad.gguf"), MLA_BAD_FILE, {"bad.gguf"});
  }
}

TEST(Quoted, KeepsErrorsOnOneReadableLine) {
  EXPECT_EQ(Quoted("blk.0"), "'blk.0'");
  EXPECT_EQ(Quoted("h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
            "'h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80'");
  EXPECT_EQ(Quoted("a\nb\x7f"), "'a\\x0ab\\x7f'");
  EXPECT_EQ(Quoted("\xc3"), "'\\xc3'");
  EXPECT_EQ(Quoted("\xc0\x80\xed\xa0\x80"), "'\\xc0\\x80\\xed\\xa0\\x80'");
  EXPECT_LT(Quoted(std::string(5000, 'x')).size(), 120u);
}

TEST(GgufFile, ReleasesWhatWasRead) {
  constexpr int64_t kMegabytes = 32;
  const std::string path = testing::TempDir() + "mla_release_" + std::to_string(getpid()) + ".gguf";
  Builder b;
  b.Head(1, 0).Tensor("t", {kMegabytes << 18}, MLA_TYPE_F32, 0).Data(kMegabytes << 20);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(b.bytes().data()),
             static_cast<std::streamsize>(b.bytes().size()));
  {
    const auto file = GgufFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status().message();
    const GgufTensor& tensor = file.value()->tensors()[0];
    const auto sum = [&] {
      return std::accumulate(tensor.data, tensor.data + tensor.byte_size, uint64_t{0});
    };
    const int64_t before = MappedMegabytes();
    const uint64_t expected = sum();
    EXPECT_GE(MappedMegabytes(), before + kMegabytes - 2);
    file.value()->Release();
    EXPECT_LE(MappedMegabytes(), before + 2);
    EXPECT_EQ(sum(), expected);
  }
  std::filesystem::remove(path);
}

TEST(GgufFile, OpensRealFiles) {
  const std::string path = std::string(MLA_SHARED_DIR) + "/models/stories260K.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto result = GgufFile::Open(path);
  ASSERT_TRUE(result.ok()) << result.status().message();
  const GgufFile& file = *result.value();
  EXPECT_EQ(file.String("general.architecture").value(), "llama");
  EXPECT_EQ(file.Integer("llama.attention.head_count_kv").value(), 4);
  EXPECT_EQ(file.FindKey("tokenizer.ggml.tokens")->count, 512u);
  const GgufTensor* embedding = file.FindTensor("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->dims[0], 64);
  EXPECT_EQ(embedding->dims[1], 512);
}

}  // namespace
}  // namespace mla
