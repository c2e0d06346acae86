#include "gguf/gguf_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gguf/gguf_value.h"
#include "tensor/convert.h"

namespace mla {
namespace {

namespace fs = std::filesystem;

class GgufWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("gguf_writer_test_") +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    path_ = (folder_ / "out.gguf").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::shared_ptr<GgufWriter> ToFile() const {
    auto result = GgufWriter::ToFile(path_);
    EXPECT_TRUE(result.ok()) << result.status().message();
    return result.value();
  }
  std::vector<std::string> Listing() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  static std::string Content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fs::path folder_;
  std::string path_;
};

void ExpectOk(const Status& status) { EXPECT_TRUE(status.ok()) << status.message(); }

void ExpectError(const Status& status, mla_status code, const char* words) {
  EXPECT_EQ(status.code(), code) << status.message();
  EXPECT_NE(status.message().find(words), std::string::npos) << status.message();
}

Status SetInteger(GgufWriter& w, std::string_view key, int32_t type, int64_t value) {
  return w.SetIntegers(key, type, &value, -1);
}

Status SetString(GgufWriter& w, std::string_view key, std::string_view value) {
  return w.SetStrings(key, &value, -1);
}

std::vector<float> Wave(int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i) * 0.37f);
  return x;
}

// Every key and tensor type, keys after tensors, one key replaced.
void WriteEverything(GgufWriter& w) {
  ExpectOk(SetString(w, "general.architecture", "wrong"));
  for (Type type : kAllTypes) {
    const TypeTraits& traits = GetTypeTraits(type);
    const int64_t dims[] = {traits.block == 1 ? 5 : traits.block * 3, 7, 3};
    ExpectOk(w.BeginTensor(std::string("t.") + traits.name, static_cast<uint32_t>(type), 3, dims));
    const std::vector<float> values = Wave(dims[0] * 21);
    ExpectOk(w.AppendF32(values.data(), dims[0] * 20));
    ExpectOk(w.AppendF32(values.data() + dims[0] * 20, dims[0]));
  }
  ExpectOk(SetString(w, "general.architecture", "test"));
  ExpectOk(SetInteger(w, "u8", MLA_VALUE_U8, 255));
  ExpectOk(SetInteger(w, "i8", MLA_VALUE_I8, -128));
  ExpectOk(SetInteger(w, "u16", MLA_VALUE_U16, 65535));
  ExpectOk(SetInteger(w, "i16", MLA_VALUE_I16, -32768));
  ExpectOk(SetInteger(w, "u32", MLA_VALUE_U32, 4294967295));
  ExpectOk(SetInteger(w, "i32", MLA_VALUE_I32, -2147483648ll));
  ExpectOk(SetInteger(w, "i64", MLA_VALUE_I64, INT64_MIN));
  ExpectOk(SetInteger(w, "u64", MLA_VALUE_U64, -1));
  ExpectOk(SetInteger(w, "bool", MLA_VALUE_BOOL, 1));
  const double reals[] = {0.1, -1e30, INFINITY, 0};
  ExpectOk(w.SetReals("f32", MLA_VALUE_F32, reals, -1));
  ExpectOk(w.SetReals("f64s", MLA_VALUE_F64, reals, 4));
  const int64_t integers[] = {1, -2, 300};
  ExpectOk(w.SetIntegers("i16s", MLA_VALUE_I16, integers, 3));
  ExpectOk(w.SetIntegers("none", MLA_VALUE_I32, nullptr, 0));
  const std::string_view strings[] = {"", "h\xc3\xa9", "c"};
  ExpectOk(w.SetStrings("strings", strings, 3));
}

void CheckEverything(const GgufFile& file) {
  EXPECT_EQ(file.keys().size(), 15u);
  EXPECT_EQ(file.keys()[0].name, "general.architecture");
  EXPECT_EQ(file.String("general.architecture").value(), "test");
  EXPECT_EQ(file.Integer("u8").value(), 255);
  EXPECT_EQ(file.Integer("i8").value(), -128);
  EXPECT_EQ(file.Integer("u16").value(), 65535);
  EXPECT_EQ(file.Integer("i16").value(), -32768);
  EXPECT_EQ(file.Integer("u32").value(), 4294967295);
  EXPECT_EQ(file.Integer("i32").value(), -2147483648ll);
  EXPECT_EQ(file.Integer("i64").value(), INT64_MIN);
  EXPECT_EQ(file.Real("u64").value(), 0x1p64);
  EXPECT_EQ(file.Bool("bool").value(), true);
  EXPECT_EQ(file.Real("f32").value(), static_cast<double>(0.1f));
  EXPECT_EQ(file.Reals("f64s").value(), (std::vector<double>{0.1, -1e30, INFINITY, 0}));
  EXPECT_EQ(file.Integers("i16s").value(), (std::vector<int64_t>{1, -2, 300}));
  EXPECT_TRUE(file.Integers("none").value()->empty());
  const GgufKey* strings = file.FindKey("strings");
  ASSERT_NE(strings, nullptr);
  ASSERT_EQ(strings->count, 3u);
  const uint8_t* p = strings->data;
  EXPECT_EQ(LoadString(p, &p), "");
  EXPECT_EQ(LoadString(p, &p), "h\xc3\xa9");
  for (Type type : kAllTypes) {
    const GgufTensor* tensor = file.FindTensor(std::string("t.") + GetTypeTraits(type).name);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->type, type);
    EXPECT_EQ(tensor->n_dims, 3);
    EXPECT_EQ(tensor->dims[2], 3);
    std::vector<uint8_t> expected(static_cast<size_t>(tensor->byte_size));
    QuantizeRow(type, Wave(tensor->elements()).data(), expected.data(), tensor->elements());
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), tensor->data))
        << GetTypeTraits(type).name;
  }
}

TEST_F(GgufWriterTest, EverythingComesBackFromAFile) {
  auto writer = ToFile();
  WriteEverything(*writer);
  EXPECT_FALSE(fs::exists(path_));
  ExpectOk(writer->Finish());
  const auto file = GgufFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status().message();
  CheckEverything(*file.value());
  EXPECT_EQ(Listing(), std::vector<std::string>{"out.gguf"});
  ExpectError(writer->Reader().status(), MLA_INVALID_ARGUMENT, "wrote a file");
  ExpectError(writer->Finish(), MLA_INVALID_ARGUMENT, "already finished");
  ExpectError(SetString(*writer, "k", "v"), MLA_INVALID_ARGUMENT, "finished");
}

TEST_F(GgufWriterTest, MemoryAndFileAgree) {
  auto memory = GgufWriter::ToMemory();
  ExpectError(memory->Reader().status(), MLA_INVALID_ARGUMENT, "not finished");
  WriteEverything(*memory);
  ExpectOk(memory->Finish());
  ASSERT_TRUE(memory->Reader().ok());
  const auto file = memory->Reader().value();
  memory.reset();  // the reader stands by itself
  CheckEverything(*file);
}

TEST_F(GgufWriterTest, CopiesKeysOfEveryKind) {
  auto source = GgufWriter::ToMemory();
  WriteEverything(*source);
  ExpectOk(source->Finish());
  auto copy = GgufWriter::ToMemory();
  for (const GgufKey& key : source->Reader().value()->keys()) ExpectOk(copy->CopyKey(key));
  ExpectOk(copy->Finish());
  const auto &a = source->Reader().value()->keys(), &b = copy->Reader().value()->keys();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_EQ(a[i].type, b[i].type);
    EXPECT_EQ(a[i].element_type, b[i].element_type);
    ASSERT_EQ(a[i].count, b[i].count);
    const uint8_t* end = EndOfValues(a[i].element_type, a[i].count, a[i].data);
    EXPECT_TRUE(std::equal(a[i].data, end, b[i].data)) << a[i].name;
  }
}

TEST_F(GgufWriterTest, AlignmentIsHonouredEvenWhenSetLate) {
  auto writer = GgufWriter::ToMemory();
  for (const char* name : {"a", "b"}) {
    const int64_t dims[] = {3};
    ExpectOk(writer->BeginTensor(name, MLA_TYPE_F32, 1, dims));
    ExpectOk(writer->AppendBytes("0123456789ab", 12));
  }
  ExpectError(SetInteger(*writer, "general.alignment", MLA_VALUE_U32, 48), MLA_INVALID_ARGUMENT,
              "power of two");
  ExpectOk(SetInteger(*writer, "general.alignment", MLA_VALUE_U32, 256));
  ExpectOk(writer->Finish());
  const auto& tensors = writer->Reader().value()->tensors();
  EXPECT_EQ(tensors[1].data - tensors[0].data, 256);
  EXPECT_EQ(tensors[1].data[11], 'b');
}

TEST_F(GgufWriterTest, UnfinishedLeavesTheOldFileAndNoTrace) {
  std::ofstream(path_) << "old";
  {
    auto writer = ToFile();
    WriteEverything(*writer);
  }
  EXPECT_EQ(Content(path_), "old");
  EXPECT_EQ(Listing(), std::vector<std::string>{"out.gguf"});
  auto writer = ToFile();
  WriteEverything(*writer);
  ExpectOk(writer->Finish());
  EXPECT_EQ(Content(path_).substr(0, 4), "GGUF");
  EXPECT_EQ(Listing(), std::vector<std::string>{"out.gguf"});
}

TEST_F(GgufWriterTest, AFileBeingReadMayBeReplaced) {
  auto first = ToFile();
  WriteEverything(*first);
  ExpectOk(first->Finish());
  const auto old = GgufFile::Open(path_).value();
  auto second = ToFile();
  ExpectOk(SetString(*second, "general.architecture", "new"));
  ExpectOk(second->Finish());
  CheckEverything(*old);
  EXPECT_EQ(GgufFile::Open(path_).value()->String("general.architecture").value(), "new");
}

TEST_F(GgufWriterTest, PlacesThatCannotBeWrittenAreNamed) {
  ExpectError(GgufWriter::ToFile((folder_ / "no" / "x.gguf").string()).status(), MLA_NOT_FOUND,
              "x.gguf: cannot create");
  ExpectError(GgufWriter::ToFile(folder_.string()).status(), MLA_INVALID_ARGUMENT, "directory");
  ExpectError(GgufWriter::ToFile("").status(), MLA_INVALID_ARGUMENT, "empty");
}

TEST_F(GgufWriterTest, AFullDiskIsReportedAndLeavesNoTrace) {
  std::ofstream(path_) << "old";
  // A limit on the size of files stands for the full disk: the write fails in the same place.
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 3 << 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  {
    auto writer = ToFile();
    const int64_t dims[] = {1 << 20, 4};
    ExpectOk(writer->BeginTensor("w", MLA_TYPE_F32, 2, dims));
    const std::vector<float> row(1 << 20);
    Status status;
    for (int i = 0; i < 4 && status.ok(); ++i) status = writer->AppendF32(row.data(), 1 << 20);
    ExpectError(status, MLA_IO, "out.gguf: cannot write");
    ExpectError(writer->AppendBytes("x", 1), MLA_IO, "cannot write");
    ExpectError(writer->Finish(), MLA_IO, "cannot write");

    // Fits as data, not as data with the header before it: Finish itself fails, and cleans up.
    auto late = ToFile();
    const int64_t fitting[] = {786432 - 8};
    ExpectOk(late->BeginTensor("w", MLA_TYPE_F32, 1, fitting));
    ExpectOk(late->AppendF32(row.data(), fitting[0]));
    ExpectError(late->Finish(), MLA_IO, "cannot write");
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(Content(path_), "old");
  EXPECT_EQ(Listing(), std::vector<std::string>{"out.gguf"});
}

TEST_F(GgufWriterTest, WrongUseIsRefusedInWords) {
  auto w = GgufWriter::ToMemory();
  ExpectError(SetInteger(*w, "k", MLA_VALUE_U8, 256), MLA_INVALID_ARGUMENT,
              "'k': 256 does not fit u8");
  ExpectError(SetInteger(*w, "k", MLA_VALUE_BOOL, 2), MLA_INVALID_ARGUMENT, "does not fit bool");
  ExpectError(SetInteger(*w, "k", MLA_VALUE_F32, 2), MLA_INVALID_ARGUMENT, "integer type");
  ExpectError(SetInteger(*w, "", MLA_VALUE_U8, 2), MLA_INVALID_ARGUMENT, "0 bytes");
  const double huge = 1e300;
  ExpectError(w->SetReals("k", MLA_VALUE_F32, &huge, -1), MLA_INVALID_ARGUMENT, "does not fit f32");
  ExpectError(w->SetReals("k", MLA_VALUE_U8, &huge, -1), MLA_INVALID_ARGUMENT, "f32 or f64");
  ExpectError(w->SetReals("k", MLA_VALUE_F64, &huge, -2), MLA_INVALID_ARGUMENT, "count -2");
  ExpectError(w->SetReals("k", MLA_VALUE_F64, nullptr, 3), MLA_INVALID_ARGUMENT, "null");
  ExpectError(SetString(*w, "general.alignment", "32"), MLA_INVALID_ARGUMENT, "u32");
  ExpectError(w->AppendBytes("x", 1), MLA_INVALID_ARGUMENT, "before the first tensor");
  const int64_t bad[] = {31, 2}, zero[] = {32, 0}, vast[] = {1ll << 40, 1ll << 40},
                good[] = {32, 2};
  ExpectError(w->BeginTensor("t", 77, 1, good), MLA_INVALID_ARGUMENT, "unknown type 77");
  ExpectError(w->BeginTensor("t", MLA_TYPE_Q8_0, 2, bad), MLA_INVALID_ARGUMENT, "multiple of 32");
  ExpectError(w->BeginTensor("t", MLA_TYPE_Q8_0, 2, zero), MLA_INVALID_ARGUMENT,
              "dimension 1 is 0");
  ExpectError(w->BeginTensor("t", MLA_TYPE_Q8_0, 2, vast), MLA_INVALID_ARGUMENT, "64 bits");
  ExpectError(w->BeginTensor("t", MLA_TYPE_Q8_0, 5, good), MLA_INVALID_ARGUMENT, "5 dimensions");
  ExpectError(w->BeginTensor(std::string(64, 'n'), MLA_TYPE_Q8_0, 2, good), MLA_INVALID_ARGUMENT,
              "64 bytes");
  ExpectOk(w->BeginTensor("t", MLA_TYPE_Q8_0, 2, good));
  const std::vector<float> x(128);
  ExpectError(w->AppendF32(x.data(), 33), MLA_INVALID_ARGUMENT, "whole rows of 32");
  ExpectError(w->AppendF32(x.data(), 96), MLA_INVALID_ARGUMENT, "takes 2 more");
  ExpectError(w->AppendF32(nullptr, 32), MLA_INVALID_ARGUMENT, "null");
  ExpectError(w->AppendBytes(x.data(), 69), MLA_INVALID_ARGUMENT, "whole size is 68");
  ExpectError(w->AppendBytes(x.data(), -1), MLA_INVALID_ARGUMENT, "-1 bytes");
  ExpectOk(w->AppendF32(x.data(), 32));
  ExpectError(w->Finish(), MLA_INVALID_ARGUMENT, "34 of 68 bytes");
  ExpectError(w->BeginTensor("u", MLA_TYPE_Q8_0, 2, good), MLA_INVALID_ARGUMENT, "'t'");
  ExpectOk(w->AppendF32(x.data(), 32));
  ExpectError(w->BeginTensor("t", MLA_TYPE_Q8_0, 2, good), MLA_INVALID_ARGUMENT, "already");
  ExpectOk(w->Finish());
}

}  // namespace
}  // namespace mla
