package io.github.mla4j.gguf;

import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_append_bytes;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_append_f32;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_begin_tensor;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_close;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_copy_key;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_create;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_finish;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_reader;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_set_integers;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_set_reals;
import static io.github.mla4j.bindings.global.mla.mla_gguf_writer_set_strings;

import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import io.github.mla4j.internal.Handle;
import io.github.mla4j.internal.Native;
import java.io.ByteArrayOutputStream;
import java.lang.ref.Reference;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;

/**
 * A GGUF file being written, keys and tensors in any order. The target appears, complete, when
 * {@link #finish} returns; closing before that leaves no trace. Calls from several threads are
 * serialized.
 */
public final class GgufWriter implements AutoCloseable {
  private static final int SCALAR = -1;

  private final String name;
  private final Handle handle;

  private GgufWriter(String path, String name) {
    long[] out = new long[1];
    Native.check(mla_gguf_writer_create(path, out));
    this.name = name;
    this.handle = new Handle(this, "writer of " + name, out[0], h -> mla_gguf_writer_close(h));
  }

  /** Writes to a temporary file beside {@code path}, which {@link #finish} moves into place. */
  public static GgufWriter create(Path path) {
    return new GgufWriter(path.toString(), path.toString());
  }

  /** Writes to memory; {@link #reader} opens the result. */
  public static GgufWriter inMemory() {
    return inMemory("a file in memory");
  }

  /**
   * The same.
   *
   * @param name what errors call it, such as the path of what it is made of
   */
  public static GgufWriter inMemory(String name) {
    return new GgufWriter(null, name);
  }

  public GgufWriter set(String key, String value) {
    byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
    long[] offsets = {0, bytes.length};
    return call(h -> mla_gguf_writer_set_strings(h, key, bytes, offsets, SCALAR));
  }

  public GgufWriter set(String key, List<String> values) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    long[] offsets = new long[values.size() + 1];
    for (int i = 0; i < values.size(); i++) {
      bytes.writeBytes(values.get(i).getBytes(StandardCharsets.UTF_8));
      offsets[i + 1] = bytes.size();
    }
    return call(
        h -> mla_gguf_writer_set_strings(h, key, bytes.toByteArray(), offsets, values.size()));
  }

  public GgufWriter set(String key, boolean value) {
    return setInteger(key, ValueType.BOOL, value ? 1 : 0);
  }

  /** A scalar u32, the type of most sizes in GGUF. */
  public GgufWriter set(String key, int value) {
    return setInteger(key, ValueType.U32, value);
  }

  /** A scalar f32. */
  public GgufWriter set(String key, float value) {
    return call(
        h ->
            mla_gguf_writer_set_reals(
                h, key, ValueType.F32.id(), new double[] {value}, (long) SCALAR));
  }

  /** An array of i32. */
  public GgufWriter set(String key, int[] values) {
    long[] wide = new long[values.length];
    for (int i = 0; i < values.length; i++) {
      wide[i] = values[i];
    }
    return setIntegers(key, ValueType.I32, wide);
  }

  /** An array of f32. */
  public GgufWriter set(String key, float[] values) {
    double[] wide = new double[values.length];
    for (int i = 0; i < values.length; i++) {
      wide[i] = values[i];
    }
    return setReals(key, ValueType.F32, wide);
  }

  /** A scalar of any integer type, or {@link ValueType#BOOL}. */
  public GgufWriter setInteger(String key, ValueType type, long value) {
    return call(
        h -> mla_gguf_writer_set_integers(h, key, type.id(), new long[] {value}, (long) SCALAR));
  }

  /** An array of any integer type, or {@link ValueType#BOOL}. */
  public GgufWriter setIntegers(String key, ValueType elementType, long[] values) {
    return call(h -> mla_gguf_writer_set_integers(h, key, elementType.id(), values, values.length));
  }

  /** An array of {@link ValueType#F32} or {@link ValueType#F64}. */
  public GgufWriter setReals(String key, ValueType elementType, double[] values) {
    return call(h -> mla_gguf_writer_set_reals(h, key, elementType.id(), values, values.length));
  }

  /** Copies a key as it stands in another file; it must be there. */
  public GgufWriter copyKey(Gguf from, String key) {
    long index = from.findKey(key);
    if (index < 0) {
      throw new MlaException(Status.NOT_FOUND, from.name() + ": there is no key " + key);
    }
    try {
      return call(h -> mla_gguf_writer_copy_key(h, from.handle(), index));
    } finally {
      Reference.reachabilityFence(from);
    }
  }

  /**
   * Begins a tensor; its elements follow by {@code append} calls before the next tensor begins.
   *
   * @param dims the contiguous dimension first: a matrix of [rows, columns] is (columns, rows)
   */
  public GgufWriter beginTensor(String tensor, TensorType type, long... dims) {
    return call(h -> mla_gguf_writer_begin_tensor(h, tensor, type.id(), dims.length, dims));
  }

  /** Quantizes whole rows of the current tensor to its type. */
  public GgufWriter append(float[] rows) {
    return call(h -> mla_gguf_writer_append_f32(h, rows, rows.length));
  }

  /** Quantizes the buffer's remaining floats, whole rows, and moves its position to its limit. */
  public GgufWriter append(FloatBuffer rows) {
    if (!rows.isDirect()) { // JavaCPP mistakes where the slice of an array begins
      float[] copy = new float[rows.remaining()];
      rows.get(copy);
      return append(copy);
    }
    FloatBuffer source = rows.slice();
    call(h -> mla_gguf_writer_append_f32(h, source, source.remaining()));
    rows.position(rows.limit());
    return this;
  }

  /** Appends data that is encoded in the current tensor's type already. */
  public GgufWriter appendBytes(byte[] encoded) {
    try (BytePointer pointer = new BytePointer(encoded)) {
      return call(h -> mla_gguf_writer_append_bytes(h, pointer, encoded.length));
    }
  }

  /** Begins a tensor and appends all of it. */
  public GgufWriter tensor(String tensor, TensorType type, float[] elements, long... dims) {
    return beginTensor(tensor, type, dims).append(elements);
  }

  /** Completes the file and moves it into place. Only {@link #reader} and close may follow. */
  public void finish() {
    call(h -> mla_gguf_writer_finish(h));
  }

  /** The finished result of {@link #inMemory} as an open file of its own; the caller closes it. */
  public Gguf reader() {
    long[] out = new long[1];
    call(h -> mla_gguf_writer_reader(h, out));
    return Gguf.ofHandle(name, out[0]);
  }

  /** Without {@link #finish}: drops what was written; the target stays as it was. */
  @Override
  public void close() {
    handle.close();
  }

  private interface Call {
    int on(long handle);
  }

  private GgufWriter call(Call call) {
    try {
      Native.check(call.on(handle.value()));
      return this;
    } finally {
      Reference.reachabilityFence(this);
    }
  }
}
