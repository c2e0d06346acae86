// The C API of mla4j: the whole contract with the JVM, and the only exported header.
//
// Rules that hold for every call:
//  - Handles are numbers, not pointers. A handle that was closed, or never was one, gives
//  MLA_CLOSED; closing
//    twice is harmless. A call that is running keeps its object alive, so closing from another
//    thread is safe: the running call ends (a session's decode is cancelled) and memory goes when
//    the last user leaves.
//  - Every call returns a status. mla_last_error() gives the calling thread's last error in words
//  that name the
//    file, tensor, option or value and what was expected. No exception, abort, exit or print
//    crosses this boundary.
//  - The library never keeps a caller's pointer after a call returns, and never hands out one of
//  its own, but for
//    constant strings that live as long as the library.
//  - Strings are UTF-8. `capacity` counts elements; where a call reports a needed length, a null or
//  short buffer
//    is not an error: nothing is written past `capacity` and the length says what was needed.
//  - Options structs start with `struct_size` (sizeof the struct as the caller knows it), so that
//  fields can be
//    added; zero in a field means its default, unless said otherwise.
#ifndef MLA_MLA_H_
#define MLA_MLA_H_

#include <stdint.h>

#if defined(_WIN32)
#if defined(MLA_BUILD)
#define MLA_API __declspec(dllexport)
#else
#define MLA_API __declspec(dllimport)
#endif
#else
#define MLA_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t mla_gguf;         // an open GGUF file, immutable: any thread, in parallel
typedef uint64_t mla_gguf_writer;  // a GGUF file being written: calls are serialized
typedef uint64_t mla_model;        // weights, immutable: any thread, in parallel
typedef uint64_t mla_session;      // one sequence with its cache: calls are serialized, cancel and
                                   // close from any thread
typedef uint64_t mla_batch;  // scratch memory for steps of many sessions: steps are serialized

enum {
  MLA_OK = 0,
  MLA_INVALID_ARGUMENT = 1,  // a value outside its range
  MLA_NOT_FOUND = 2,         // no such file, key or tensor
  MLA_IO = 3,                // the operating system failed a read or write
  MLA_BAD_FILE = 4,          // truncated, damaged or contradictory file
  MLA_UNSUPPORTED = 5,       // a valid file or option that this build cannot run
  MLA_OUT_OF_MEMORY = 6,
  MLA_CONTEXT_FULL = 7,  // the tokens do not fit; nothing was changed
  MLA_CANCELLED = 8,     // stopped by mla_session_cancel; the session stays usable
  MLA_CLOSED = 9,        // the handle is closed or was never open
  MLA_INTERNAL = 10
};
typedef int32_t mla_status;

// Weight types, by GGUF's numbers.
enum {
  MLA_TYPE_F32 = 0,
  MLA_TYPE_F16 = 1,
  MLA_TYPE_Q4_0 = 2,
  MLA_TYPE_Q4_1 = 3,
  MLA_TYPE_Q8_0 = 8,
  MLA_TYPE_Q4_K = 12,
  MLA_TYPE_Q6_K = 14,
  MLA_TYPE_BF16 = 30
};

// Metadata value types, by GGUF's numbers.
enum {
  MLA_VALUE_U8 = 0,
  MLA_VALUE_I8 = 1,
  MLA_VALUE_U16 = 2,
  MLA_VALUE_I16 = 3,
  MLA_VALUE_U32 = 4,
  MLA_VALUE_I32 = 5,
  MLA_VALUE_F32 = 6,
  MLA_VALUE_BOOL = 7,
  MLA_VALUE_STRING = 8,
  MLA_VALUE_ARRAY = 9,
  MLA_VALUE_U64 = 10,
  MLA_VALUE_I64 = 11,
  MLA_VALUE_F64 = 12
};

// Cache element types.
enum {
  MLA_CACHE_DEFAULT = 0,
  MLA_CACHE_F32 = 1,
  MLA_CACHE_F16 = 2,
  MLA_CACHE_INT8 = 3,
  MLA_CACHE_INT4 = 4,
  MLA_CACHE_INT2 = 5,
  MLA_CACHE_BF16 = 6  // f16's bytes with f32's range, for numbers beyond 65,504
};

// How finely activations are rounded before integer products. Fine: whole numbers of 15 bits, those
// that meet quantized weights and softmax weights that meet int4 and int2 rows of the cache. Mixed:
// of 8 bits where no element stands out (on machines that gain by it), and all softmax weights that
// meet int4 and int2 rows; a prompt's queries, and the f16 rows or expanded keys and values that
// many of them meet, in 16-bit fixed point instead of floats (a KL divergence of 1e-6). Mixed is
// faster and moves next-token distributions a little (SmolLM2-135M: a KL divergence of 5e-4), which
// is more than an int8 cache does: measure with fine ones.
enum { MLA_ACTIVATIONS_MIXED = 0, MLA_ACTIVATIONS_FINE = 1 };
// How a prompt's attention is computed; both give the same logits.
enum { MLA_PREFILL_AUTO = 0, MLA_PREFILL_ABSORBED = 1, MLA_PREFILL_EXPANDED = 2 };

// Where a session runs: the CPU, the first GPU that takes the model or else the CPU, or
// MLA_DEVICE_CUDA
// + N, GPU number N.
enum { MLA_DEVICE_CPU = 0, MLA_DEVICE_AUTO = -1, MLA_DEVICE_CUDA = 1 };

enum { MLA_LOG_DEBUG = 0, MLA_LOG_INFO = 1, MLA_LOG_WARNING = 2 };
typedef void (*mla_log_callback)(int32_t level, const char* message, void* user);

// ---- library
// ----------------------------------------------------------------------------------------------------

MLA_API const char* mla_version(void);
MLA_API const char* mla_status_name(mla_status status);
// The last error of the calling thread, "" before the first. Valid until the thread's next failing
// call.
MLA_API const char* mla_last_error(void);
// null turns logging off (the default). The callback may be called from any thread until this
// returns.
MLA_API mla_status mla_set_log_callback(mla_log_callback callback, void* user);
// The machine and the choice made on it, as a JSON object: version, isa, isa_reason, isas, cores,
// threads, memory_nodes that workers are divided among, memory_nodes_reason, backends; gpus, each
// with name (as of a device, cuda:0), model, capability, memory_bytes and problem ("" where it can
// be used); gpu_reason, why there is none.
MLA_API mla_status mla_system_info(char* json, int64_t capacity, int64_t* length);

// What the machine gives at most to so many threads together, as it was measured: the roofline.
typedef struct mla_roofline {
  int32_t struct_size;
  int32_t threads;                        // that took part
  double bytes_per_second;                // read from memory, far beyond what caches hold
  double float_multiply_adds_per_second;  // of registers, by the chosen instruction set
  // The same of the narrowest integers that it multiplies: 8 bits (VNNI, AVX2, sdot) or 16.
  double integer_multiply_adds_per_second;
} mla_roofline;

// Takes about a second and 256 MiB, or more where a cache is large. threads 0: all cores.
MLA_API mla_status mla_measure_roofline(int32_t threads, mla_roofline* roofline);

// ---- GGUF reading
// -----------------------------------------------------------------------------------------------

MLA_API mla_status mla_gguf_open(const char* path, mla_gguf* out);
MLA_API mla_status mla_gguf_close(mla_gguf gguf);
MLA_API mla_status mla_gguf_counts(mla_gguf gguf, int64_t* keys, int64_t* tensors);
// *index is -1 where the key is absent.
MLA_API mla_status mla_gguf_find_key(mla_gguf gguf, const char* name, int64_t* index);
// A scalar has count 1 and element_type = type; an array has type MLA_VALUE_ARRAY and its elements'
// type. Arrays of arrays are listed with element_type MLA_VALUE_ARRAY and cannot be read.
MLA_API mla_status mla_gguf_key_info(mla_gguf gguf, int64_t index, char* name, int64_t capacity,
                                     int64_t* name_length, int32_t* type, int32_t* element_type,
                                     int64_t* count);
// Integers and bools, widened (u64 by its bits); capacity must be at least count.
MLA_API mla_status mla_gguf_read_integers(mla_gguf gguf, int64_t index, int64_t* out,
                                          int64_t capacity);
// Any numeric type, converted.
MLA_API mla_status mla_gguf_read_reals(mla_gguf gguf, int64_t index, double* out, int64_t capacity);
// offsets[count + 1]: string i is bytes[offsets[i] .. offsets[i+1]); bytes null: only the offsets
// are filled.
MLA_API mla_status mla_gguf_read_strings(mla_gguf gguf, int64_t index, int64_t* offsets,
                                         int64_t offsets_capacity, uint8_t* bytes,
                                         int64_t bytes_capacity);
MLA_API mla_status mla_gguf_find_tensor(mla_gguf gguf, const char* name, int64_t* index);
// dims[4]: dims[0] is the contiguous one (a matrix [rows, cols] has dims {cols, rows, 1, 1}).
MLA_API mla_status mla_gguf_tensor_info(mla_gguf gguf, int64_t index, char* name, int64_t capacity,
                                        int64_t* name_length, int32_t* type, int32_t* n_dims,
                                        int64_t* dims, int64_t* byte_size);
// Dequantized elements [first, first + count); both must be whole blocks of the type (or reach the
// tensor's end).
MLA_API mla_status mla_gguf_read_tensor_f32(mla_gguf gguf, int64_t index, int64_t first,
                                            int64_t count, float* out);
MLA_API mla_status mla_gguf_read_tensor_bytes(mla_gguf gguf, int64_t index, int64_t offset,
                                              int64_t size, void* out);
// Gives back the memory of the mapped pages that have been read; what is read again comes from the
// file again. For readers of a large file that read every part once.
MLA_API mla_status mla_gguf_release_pages(mla_gguf gguf);

// ---- GGUF writing
// -----------------------------------------------------------------------------------------------
// Keys and tensors in any order. Data goes to a temporary file beside the target; finish writes the
// header, syncs and moves the whole into place, so the target is either the old file or the
// complete new one.

// path null: in memory, see mla_gguf_writer_reader.
MLA_API mla_status mla_gguf_writer_create(const char* path, mla_gguf_writer* out);
// count -1: a scalar; otherwise an array of `element_type` (MLA_VALUE_U8 ... I64, BOOL).
MLA_API mla_status mla_gguf_writer_set_integers(mla_gguf_writer writer, const char* key,
                                                int32_t element_type, const int64_t* values,
                                                int64_t count);
// element_type MLA_VALUE_F32 or F64; count as above.
MLA_API mla_status mla_gguf_writer_set_reals(mla_gguf_writer writer, const char* key,
                                             int32_t element_type, const double* values,
                                             int64_t count);
// offsets as in mla_gguf_read_strings; count -1: one string.
MLA_API mla_status mla_gguf_writer_set_strings(mla_gguf_writer writer, const char* key,
                                               const uint8_t* bytes, const int64_t* offsets,
                                               int64_t count);
// Copies a key as it stands.
MLA_API mla_status mla_gguf_writer_copy_key(mla_gguf_writer writer, mla_gguf from, int64_t index);
// Begins a tensor; its data follows by append calls, in order, before the next begin.
MLA_API mla_status mla_gguf_writer_begin_tensor(mla_gguf_writer writer, const char* name,
                                                int32_t type, int32_t n_dims, const int64_t* dims);
// Quantizes to the tensor's type; count in whole rows of dims[0].
MLA_API mla_status mla_gguf_writer_append_f32(mla_gguf_writer writer, const float* values,
                                              int64_t count);
MLA_API mla_status mla_gguf_writer_append_bytes(mla_gguf_writer writer, const void* bytes,
                                                int64_t size);
MLA_API mla_status mla_gguf_writer_finish(mla_gguf_writer writer);
// After finish of an in-memory writer: the result as an open file.
MLA_API mla_status mla_gguf_writer_reader(mla_gguf_writer writer, mla_gguf* out);
// Without finish: removes the temporary file and leaves the target as it was.
MLA_API mla_status mla_gguf_writer_close(mla_gguf_writer writer);

// ---- model
// ------------------------------------------------------------------------------------------------------

typedef struct mla_model_info {
  int32_t struct_size;
  int32_t layers;
  int32_t embedding_length;
  int32_t vocabulary_size;
  int32_t context_length;  // as trained
  int32_t heads;
  int32_t kv_heads;
  int32_t head_length;
  int32_t converted;  // 1 for a latent model, 0 for plain MHA/GQA
  int64_t parameters;
  int64_t weight_bytes;
} mla_model_info;

// One cache type for all, or the parts apart. Zero: the default.
typedef struct mla_cache_options {
  int32_t struct_size;
  int32_t latent;    // MLA_CACHE_*; default f16
  int32_t rope;      // default: the latent's where that is f32, f16 or bf16, int8 for the others
  int32_t group;     // elements per scale, 32 or 64; default 32
  int32_t residual;  // newest tokens, a query's own first, that it reads in f16, -1 for none;
                     // default 128 for int4 and int2, none for the others
  int32_t sink;  // first tokens kept in f16, at most 64, -1 for none; default 4 for int8, int4 and
                 // int2, none for the others
} mla_cache_options;

// The file stays mapped while the model lives. Loading validates every tensor's presence, type and
// shape.
MLA_API mla_status mla_model_load(const char* path, mla_model* out);
// The model keeps what it needs of `gguf`, which may be closed afterwards.
MLA_API mla_status mla_model_load_gguf(mla_gguf gguf, mla_model* out);
// Sessions of the model keep its weights alive; new sessions cannot be made from a closed model.
MLA_API mla_status mla_model_close(mla_model model);
MLA_API mla_status mla_model_get_info(mla_model model, mla_model_info* info);
// Bytes one token takes in the cache of a context of so many tokens: scales, padding, key scalars,
// and its share of the window and the sink, which are held twice. context_length 0: of ever more
// tokens, without that share. options may be null.
MLA_API mla_status mla_model_cache_bytes_per_token(mla_model model,
                                                   const mla_cache_options* options,
                                                   int32_t context_length, double* bytes);

// ---- session
// ----------------------------------------------------------------------------------------------------

typedef struct mla_session_options {
  int32_t struct_size;
  int32_t context_length;   // tokens; default: the model's, at most it
  int32_t threads;          // default: all cores
  int32_t prefill;          // MLA_PREFILL_*
  mla_cache_options cache;  // its struct_size 0: all defaults
  int32_t activations;      // MLA_ACTIVATIONS_*; sessions of a batch have the same
  int32_t device;           // MLA_DEVICE_*
} mla_session_options;

typedef struct mla_sampler_options {
  int32_t struct_size;
  int32_t top_k;             // 0: off
  float temperature;         // 0: greedy
  float top_p;               // 0 or 1: off
  float min_p;               // 0: off
  float repetition_penalty;  // 0 or 1: off
  int32_t
      repetition_window;  // newest tokens that are penalized, the prompt included; 0: 64, -1: all
  uint64_t seed;          // the same seed gives the same tokens
} mla_sampler_options;

// options may be null.
MLA_API mla_status mla_session_create(mla_model model, const mla_session_options* options,
                                      mla_session* out);
// A session of the same tokens, logits and sampler state that goes on by itself. Both share the
// cache's pages until one of them writes to them.
MLA_API mla_status mla_session_fork(mla_session session, mla_session* out);
// Writes the tokens, the current logits and the cache to a file, but not the sampler. The file is
// complete or, whatever happens meanwhile, what was there before.
MLA_API mla_status mla_session_save(mla_session session, const char* path);
// A session that goes on from such a file with the same logits; only with the model that it was
// saved of. Its cache is the file's: options->cache is not looked at. Damaged files and those of
// newer versions give MLA_BAD_FILE, files of another model MLA_INVALID_ARGUMENT, a context that is
// too short MLA_CONTEXT_FULL.
MLA_API mla_status mla_session_restore(mla_model model, const char* path,
                                       const mla_session_options* options, mla_session* out);
MLA_API mla_status mla_session_close(mla_session session);
// Stops the running decode or evaluate at the next layer; where none runs, the next one. Any
// thread.
MLA_API mla_status mla_session_cancel(mla_session session);
// Appends n >= 1 tokens to the sequence; afterwards the logits of the last are the session's
// current logits. A failed call (full, cancelled) leaves the sequence as it was before it.
MLA_API mla_status mla_session_append(mla_session session, const int32_t* tokens, int32_t n);
// The same, and every position's logits into logits[n * vocabulary_size].
MLA_API mla_status mla_session_append_all(mla_session session, const int32_t* tokens, int32_t n,
                                          float* logits, int64_t capacity);
// The same, and log_probabilities[i] = ln p(tokens[i + 1] | everything up to tokens[i]) for i < n -
// 1, computed in bounded memory.
MLA_API mla_status mla_session_append_scored(mla_session session, const int32_t* tokens, int32_t n,
                                             float* log_probabilities, int64_t capacity);
// Current logits (vocabulary_size floats), before any sampling change.
MLA_API mla_status mla_session_logits(mla_session session, float* out, int64_t capacity);
MLA_API mla_status mla_session_length(mla_session session, int32_t* tokens);
// The first `capacity` tokens of the sequence; *count is how many there are in all.
MLA_API mla_status mla_session_tokens(mla_session session, int32_t* tokens, int64_t capacity,
                                      int32_t* count);
// Forgets all tokens from position `length` on. The current logits are gone until the next append.
// Where the cache has a window (residual) and more was forgotten than it holds, the next append
// evaluates the remaining tokens anew, so that logits are those of a session that never had more.
MLA_API mla_status mla_session_rewind(mla_session session, int32_t length);
// Bytes that the cache holds now (whole pages), and the bounded scratch memory besides it.
MLA_API mla_status mla_session_memory(mla_session session, int64_t* cache_bytes,
                                      int64_t* workspace_bytes);
// What has to be read and multiplied at least, however well it is done.
typedef struct mla_work {
  int32_t struct_size;
  double weight_bytes;  // read; once a chunk of a prompt
  double cache_bytes;   // read by attention, and written by what is appended
  double float_multiply_adds;
  double integer_multiply_adds;  // of weights and cache rows that are held as integers
} mla_work;

// The work of appending n >= 1 tokens at once to a sequence of `first`, with the session's cache
// and form of prompts; the session itself stays as it is. Logits of the last token are part of it.
MLA_API mla_status mla_session_count_work(mla_session session, int32_t first, int32_t n,
                                          mla_work* work);

typedef struct mla_profile {
  int32_t struct_size;
  int32_t threads;  // of the last step
  int64_t tokens;   // appended
  int64_t steps;    // that they took: single tokens, chunks of prompts
  double seconds;   // of appending and sampling
} mla_profile;

typedef struct mla_profile_row {
  int32_t struct_size;
  double seconds;          // at work, the mean of the threads
  double waiting_seconds;  // for other threads at the operation's barriers, the mean of the threads
  double weight_bytes;     // and its work, as in mla_work
  double cache_bytes;
  double float_multiply_adds;
  double integer_multiply_adds;
} mla_profile_row;

// on 1: from now on the time of appending and sampling is counted by operation, from nothing; 0: no
// longer. Forks are not profiled. Off (the default) it costs a branch an operation.
MLA_API mla_status mla_session_set_profiling(mla_session session, int32_t on);
// What was counted so far. What is missing in the sum of all rows' seconds and waiting_seconds to
// the whole is the waking of threads and the planning of steps.
MLA_API mla_status mla_session_profile(mla_session session, mla_profile* profile);
// Of one operation, from 0 on.
MLA_API mla_status mla_session_profile_row(mla_session session, int32_t operation,
                                           mla_profile_row* row);
// "attention", ...; null where there are no more.
MLA_API const char* mla_operation_name(int32_t operation);

// Default: greedy. bias_* may be null where bias_count is 0; -INFINITY bans a token. Restarts the
// random stream.
MLA_API mla_status mla_session_set_sampler(mla_session session, const mla_sampler_options* options,
                                           const int32_t* bias_tokens, const float* bias_values,
                                           int32_t bias_count);
// Samples from the current logits without appending. *log_probability is that of the model's own
// distribution (temperature 1, no penalties); it may be null.
MLA_API mla_status mla_session_sample(mla_session session, int32_t* token, float* log_probability);
// One step of generation in one call: appends the token that the previous mla_session_next returned
// (if any since the last append or rewind), then samples.
MLA_API mla_status mla_session_next(mla_session session, int32_t* token, float* log_probability);

// ---- batch
// ------------------------------------------------------------------------------------------------------
// Sessions of one model that generate together: a step reads every weight once for all of them, and
// gives each session the tokens and numbers that mla_session_next would give it: on the CPU to the
// last bit, on a GPU, which adds in another order for more sessions, up to rounding.
// A batch holds no sessions: every step names its own, so that they come and go between steps.

typedef struct mla_batch_options {
  int32_t struct_size;
  int32_t max_sessions;  // of a step, at most 1024; default 16. The memory is proportional to it
  int32_t threads;       // default: all cores; the sessions' own do not matter
} mla_batch_options;

// options may be null.
MLA_API mla_status mla_batch_create(mla_model model, const mla_batch_options* options,
                                    mla_batch* out);
// A step that runs is not stopped. Sessions are not touched.
MLA_API mla_status mla_batch_close(mla_batch batch);
// mla_session_next for each of n sessions, in one step: tokens[n], log_probabilities[n] (may be
// null), statuses[n]. A session whose context is full, that was cancelled or closed, or that fails
// otherwise, fails alone: its status says so, its token is -1, it is as it was, and the call still
// gives MLA_OK. mla_last_error() then has a line for each that failed, in their order, which names
// its place and why.
//
// Errors of the call change nothing and fill nothing: MLA_INVALID_ARGUMENT for n outside 1 to
// max_sessions, a session that is named twice or is of another model; MLA_CLOSED for the batch.
//
// A step waits for calls that run on its sessions, and they for it, but mla_session_cancel and
// mla_session_close, which take their session out of the step that runs. Steps of different batches
// may have sessions in common.
MLA_API mla_status mla_batch_next(mla_batch batch, const mla_session* sessions, int32_t n,
                                  int32_t* tokens, float* log_probabilities, mla_status* statuses);
// As of a session, for steps of the batch, in which sessions on a GPU fail meanwhile
// (MLA_UNSUPPORTED). A step's work is that of all its sessions, for which weights are read once.
MLA_API mla_status mla_batch_set_profiling(mla_batch batch, int32_t on);
MLA_API mla_status mla_batch_profile(mla_batch batch, mla_profile* profile);
MLA_API mla_status mla_batch_profile_row(mla_batch batch, int32_t operation, mla_profile_row* row);
// Bytes of scratch memory, all taken when the batch is made.
MLA_API mla_status mla_batch_memory(mla_batch batch, int64_t* workspace_bytes);

#ifdef __cplusplus
}  // extern "C"
#endif
#endif  // MLA_MLA_H_
