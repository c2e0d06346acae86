// For tests: what a call refuses, and in what words.
#ifndef MLA_TENSOR_STATUS_TESTING_H_
#define MLA_TENSOR_STATUS_TESTING_H_

#include <gtest/gtest.h>

#include <string>

#include "tensor/status.h"

#define EXPECT_STATUS(expression, expected, words)                                    \
  do {                                                                                \
    const mla::Status status_ = (expression);                                         \
    EXPECT_EQ(status_.code(), expected) << status_.message();                         \
    EXPECT_NE(status_.message().find(words), std::string::npos) << status_.message(); \
  } while (false)

#endif  // MLA_TENSOR_STATUS_TESTING_H_
