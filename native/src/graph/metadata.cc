#include "graph/metadata.h"

#include <cmath>
#include <sstream>
#include <utility>

namespace mla {
namespace {

template <typename T>
std::string Text(T value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

template <typename T>
std::string OutOfRange(T value, T low, T high) {
  return "is " + Text(value) + ", expected " + Text(low) + " to " + Text(high);
}

}  // namespace

void Metadata::Fail(mla_status code, const std::string& key, const std::string& words) {
  if (status_.ok()) status_ = Status(code, file_.name() + ": key '" + Name(key) + "' " + words);
}

template <typename T>
bool Metadata::Take(Result<std::optional<T>> result, std::optional<T>& out) {
  if (!result.ok()) {
    if (status_.ok()) status_ = result.status();
    return false;
  }
  out = std::move(result.value());
  return true;
}

int32_t Metadata::Int(const std::string& key, const int64_t* fallback, int64_t low, int64_t high) {
  std::optional<int64_t> value;
  if (!Take(file_.Integer(Name(key)), value)) return static_cast<int32_t>(low);
  if (!value) {
    if (fallback != nullptr) return static_cast<int32_t>(*fallback);
    Fail(MLA_BAD_FILE, key, "is missing");
    return static_cast<int32_t>(low);
  }
  if (*value < low || *value > high) {
    Fail(MLA_BAD_FILE, key, OutOfRange(*value, low, high));
    return static_cast<int32_t>(low);
  }
  return static_cast<int32_t>(*value);
}

float Metadata::Real(const std::string& key, const double* fallback, double low, double high) {
  std::optional<double> value;
  if (!Take(file_.Real(Name(key)), value)) return static_cast<float>(low);
  if (!value) {
    if (fallback != nullptr) return static_cast<float>(*fallback);
    Fail(MLA_BAD_FILE, key, "is missing");
    return static_cast<float>(low);
  }
  if (!(*value >= low && *value <= high)) {
    Fail(MLA_BAD_FILE, key, OutOfRange(*value, low, high));
    return static_cast<float>(low);
  }
  return static_cast<float>(*value);
}

int32_t Metadata::RequiredInt(const std::string& key, int64_t low, int64_t high) {
  return Int(key, nullptr, low, high);
}

int32_t Metadata::OptionalInt(const std::string& key, int64_t fallback, int64_t low, int64_t high) {
  return Int(key, &fallback, low, high);
}

float Metadata::RequiredReal(const std::string& key, double low, double high) {
  return Real(key, nullptr, low, high);
}

float Metadata::OptionalReal(const std::string& key, double fallback, double low, double high) {
  return Real(key, &fallback, low, high);
}

bool Metadata::OptionalBool(const std::string& key, bool fallback) {
  std::optional<bool> value;
  if (!Take(file_.Bool(Name(key)), value) || !value) return fallback;
  return *value;
}

std::string Metadata::OptionalString(const std::string& key, const std::string& fallback) {
  std::optional<std::string> value;
  if (!Take(file_.String(Name(key)), value) || !value) return fallback;
  return *value;
}

std::vector<int32_t> Metadata::RequiredInts(const std::string& key, int64_t count, int64_t low,
                                            int64_t high) {
  std::vector<int32_t> out(static_cast<size_t>(count), static_cast<int32_t>(low));
  std::optional<std::vector<int64_t>> values;
  if (!Take(file_.Integers(Name(key)), values)) return out;
  if (!values) {
    Fail(MLA_BAD_FILE, key, "is missing");
    return out;
  }
  if (static_cast<int64_t>(values->size()) != count) {
    Fail(MLA_BAD_FILE, key, "has " + Text(values->size()) + " values, expected " + Text(count));
    return out;
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t value = (*values)[static_cast<size_t>(i)];
    if (value < low || value > high) {
      Fail(MLA_BAD_FILE, key, "[" + Text(i) + "] " + OutOfRange(value, low, high));
      return out;
    }
    out[static_cast<size_t>(i)] = static_cast<int32_t>(value);
  }
  return out;
}

std::vector<float> Metadata::RequiredReals(const std::string& key, int64_t count, double low,
                                           double high) {
  std::vector<float> out(static_cast<size_t>(count), static_cast<float>(low));
  std::optional<std::vector<double>> values;
  if (!Take(file_.Reals(Name(key)), values)) return out;
  if (!values && count > 0) {
    Fail(MLA_BAD_FILE, key, "is missing");
    return out;
  }
  if (values && static_cast<int64_t>(values->size()) != count) {
    Fail(MLA_BAD_FILE, key, "has " + Text(values->size()) + " values, expected " + Text(count));
    return out;
  }
  for (int64_t i = 0; i < count; ++i) {
    const double value = (*values)[static_cast<size_t>(i)];
    if (!(value >= low && value <= high)) {
      Fail(MLA_BAD_FILE, key, "[" + Text(i) + "] " + OutOfRange(value, low, high));
      return out;
    }
    out[static_cast<size_t>(i)] = static_cast<float>(value);
  }
  return out;
}

}  // namespace mla
