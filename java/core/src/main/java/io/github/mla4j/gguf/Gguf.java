package io.github.mla4j.gguf;

import static io.github.mla4j.bindings.global.mla.mla_gguf_close;
import static io.github.mla4j.bindings.global.mla.mla_gguf_counts;
import static io.github.mla4j.bindings.global.mla.mla_gguf_find_key;
import static io.github.mla4j.bindings.global.mla.mla_gguf_find_tensor;
import static io.github.mla4j.bindings.global.mla.mla_gguf_key_info;
import static io.github.mla4j.bindings.global.mla.mla_gguf_open;
import static io.github.mla4j.bindings.global.mla.mla_gguf_read_integers;
import static io.github.mla4j.bindings.global.mla.mla_gguf_read_reals;
import static io.github.mla4j.bindings.global.mla.mla_gguf_read_strings;
import static io.github.mla4j.bindings.global.mla.mla_gguf_read_tensor_bytes;
import static io.github.mla4j.bindings.global.mla.mla_gguf_read_tensor_f32;
import static io.github.mla4j.bindings.global.mla.mla_gguf_release_pages;
import static io.github.mla4j.bindings.global.mla.mla_gguf_tensor_info;

import io.github.mla4j.BadFileException;
import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import io.github.mla4j.internal.Handle;
import io.github.mla4j.internal.Native;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import org.bytedeco.javacpp.BytePointer;

/**
 * An open GGUF file, immutable and memory-mapped: any thread, in parallel. Typed reads answer empty
 * where the key is absent and throw {@link BadFileException} where it has another type.
 */
public final class Gguf implements AutoCloseable {
  private static final int NAME_GUESS = 128;

  private final String name;
  private final Handle handle;

  private Gguf(String name, long handle) {
    this.name = name;
    this.handle = new Handle(this, "GGUF file " + name, handle, h -> mla_gguf_close(h));
  }

  /** Opens and checks a file; the caller closes it. */
  public static Gguf open(Path path) {
    long[] out = new long[1];
    Native.check(mla_gguf_open(path.toString(), out));
    return new Gguf(path.toString(), out[0]);
  }

  static Gguf ofHandle(String name, long handle) {
    return new Gguf(name, handle);
  }

  /** The path it was opened by, or what stands for it. */
  public String name() {
    return name;
  }

  /** Not API: the C API's handle, valid while this object is open and reachable. */
  public long handle() {
    return handle.value();
  }

  /** All metadata keys in the file's order. */
  public List<GgufKey> keys() {
    long count = counts()[0];
    List<GgufKey> keys = new ArrayList<>((int) count);
    for (long i = 0; i < count; i++) {
      keys.add(keyAt(i));
    }
    return keys;
  }

  /** The key's declaration. */
  public Optional<GgufKey> key(String key) {
    long index = findKey(key);
    return index < 0 ? Optional.empty() : Optional.of(keyAt(index));
  }

  public Optional<String> string(String key) {
    return read(key, "a string", k -> k.type() == ValueType.STRING, this::readStrings)
        .map(strings -> strings.get(0));
  }

  public OptionalLong integer(String key) {
    return read(key, "an integer", k -> k.type().isInteger(), this::readIntegers)
        .map(values -> OptionalLong.of(values[0]))
        .orElse(OptionalLong.empty());
  }

  /** Any numeric scalar. */
  public OptionalDouble real(String key) {
    return read(key, "a number", k -> isNumber(k.type()), this::readReals)
        .map(values -> OptionalDouble.of(values[0]))
        .orElse(OptionalDouble.empty());
  }

  public Optional<Boolean> bool(String key) {
    return read(key, "a truth value", k -> k.type() == ValueType.BOOL, this::readIntegers)
        .map(values -> values[0] != 0);
  }

  /** An array of integers or truth values, or a scalar as an array of one. */
  public Optional<long[]> integers(String key) {
    return read(key, "an array of integers", k -> k.elementType().isInteger(), this::readIntegers);
  }

  /** An array of numbers, or a scalar as an array of one. */
  public Optional<double[]> reals(String key) {
    return read(key, "an array of numbers", k -> isNumber(k.elementType()), this::readReals);
  }

  /** An array of strings, or a string as a list of one. */
  public Optional<List<String>> strings(String key) {
    return read(
        key, "an array of strings", k -> k.elementType() == ValueType.STRING, this::readStrings);
  }

  /** As {@link #strings}, without making a String of each: for vocabularies. */
  public Optional<StringTable> stringTable(String key) {
    return read(
        key,
        "an array of strings",
        k -> k.elementType() == ValueType.STRING,
        this::readStringTable);
  }

  /** All tensors in the file's order. */
  public List<GgufTensor> tensors() {
    long count = counts()[1];
    List<GgufTensor> tensors = new ArrayList<>((int) count);
    for (long i = 0; i < count; i++) {
      tensors.add(tensorAt(i));
    }
    return tensors;
  }

  /** The tensor's declaration. */
  public Optional<GgufTensor> tensor(String tensor) {
    long index = findTensor(tensor);
    return index < 0 ? Optional.empty() : Optional.of(tensorAt(index));
  }

  /** The whole tensor, dequantized, in the file's order. */
  public float[] readFloats(String tensor) {
    long index = requireTensor(tensor);
    long count = tensorAt(index).elements();
    if (count > Integer.MAX_VALUE - 8) {
      throw new MlaException(
          Status.INVALID_ARGUMENT,
          name + ": tensor " + tensor + " has " + count + " elements, too many for one array");
    }
    float[] out = new float[(int) count];
    call(h -> mla_gguf_read_tensor_f32(h, index, 0, out.length, out));
    return out;
  }

  /**
   * Dequantizes elements from {@code first} on into the buffer's remaining room and moves its
   * position to its limit. Both ends must lie at block boundaries of the type.
   */
  public void readFloats(String tensor, long first, FloatBuffer out) {
    long index = requireTensor(tensor);
    if (out.isDirect()) {
      FloatBuffer target = out.slice();
      call(h -> mla_gguf_read_tensor_f32(h, index, first, target.remaining(), target));
      out.position(out.limit());
    } else { // JavaCPP mistakes where the slice of an array begins
      float[] target = new float[out.remaining()];
      call(h -> mla_gguf_read_tensor_f32(h, index, first, target.length, target));
      out.put(target);
    }
  }

  /** The tensor's data as it lies in the file. */
  public byte[] readBytes(String tensor) {
    long index = requireTensor(tensor);
    byte[] out = new byte[Math.toIntExact(tensorAt(index).byteSize())];
    try (BytePointer pointer = new BytePointer(out.length)) {
      call(h -> mla_gguf_read_tensor_bytes(h, index, 0, out.length, pointer));
      pointer.get(out);
    }
    return out;
  }

  /**
   * Copies the tensor's data from byte {@code offset} on into the buffer's remaining room and moves
   * its position to its limit.
   */
  public void readBytes(String tensor, long offset, ByteBuffer out) {
    long index = requireTensor(tensor);
    int size = out.remaining();
    try (BytePointer pointer = new BytePointer((long) size)) {
      call(h -> mla_gguf_read_tensor_bytes(h, index, offset, size, pointer));
      out.put(pointer.asBuffer());
    }
  }

  /**
   * Gives back the memory of the pages that have been read so far; what is read again comes from
   * the file again. For readers of a large file that read every part once.
   */
  public void releasePages() {
    call(h -> mla_gguf_release_pages(h));
  }

  /** Unmaps the file. Closing twice is harmless. */
  @Override
  public void close() {
    handle.close();
  }

  @Override
  public String toString() {
    return name;
  }

  // ---- reading ----------------------------------------------------------------------------------

  private interface Call {
    int on(long handle);
  }

  private interface Reader<T> {
    T read(long index, GgufKey key);
  }

  private void call(Call call) {
    try {
      Native.check(call.on(handle.value()));
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  private <T> Optional<T> read(
      String key, String expected, java.util.function.Predicate<GgufKey> fits, Reader<T> reader) {
    long index = findKey(key);
    if (index < 0) {
      return Optional.empty();
    }
    GgufKey info = keyAt(index);
    if (!fits.test(info)) {
      String actual = (info.isArray() ? "an array of " : "") + info.elementType();
      throw new BadFileException(
          name + ": key " + key + " is " + actual + ", expected " + expected);
    }
    return Optional.of(reader.read(index, info));
  }

  private long[] readIntegers(long index, GgufKey key) {
    long[] out = new long[Math.toIntExact(key.count())];
    call(h -> mla_gguf_read_integers(h, index, out, out.length));
    return out;
  }

  private double[] readReals(long index, GgufKey key) {
    double[] out = new double[Math.toIntExact(key.count())];
    call(h -> mla_gguf_read_reals(h, index, out, out.length));
    return out;
  }

  private StringTable readStringTable(long index, GgufKey key) {
    long[] offsets = new long[Math.toIntExact(key.count() + 1)];
    call(h -> mla_gguf_read_strings(h, index, offsets, offsets.length, (byte[]) null, 0));
    byte[] bytes = new byte[Math.toIntExact(offsets[offsets.length - 1])];
    call(h -> mla_gguf_read_strings(h, index, offsets, offsets.length, bytes, bytes.length));
    return new StringTable(bytes, offsets);
  }

  private List<String> readStrings(long index, GgufKey key) {
    return readStringTable(index, key).toList();
  }

  private static boolean isNumber(ValueType type) {
    return type.isReal() || (type.isInteger() && type != ValueType.BOOL);
  }

  private long[] counts() {
    long[] keys = new long[1];
    long[] tensors = new long[1];
    call(h -> mla_gguf_counts(h, keys, tensors));
    return new long[] {keys[0], tensors[0]};
  }

  long findKey(String key) {
    long[] index = new long[1];
    call(h -> mla_gguf_find_key(h, key, index));
    return index[0];
  }

  private GgufKey keyAt(long index) {
    int[] type = new int[1];
    int[] elementType = new int[1];
    long[] count = new long[1];
    String[] key = new String[1];
    call(
        h -> {
          key[0] =
              Native.text(
                  NAME_GUESS,
                  (text, capacity, length) ->
                      mla_gguf_key_info(
                          h, index, text, capacity, length, type, elementType, count));
          return 0;
        });
    return new GgufKey(key[0], ValueType.ofId(type[0]), ValueType.ofId(elementType[0]), count[0]);
  }

  private long findTensor(String tensor) {
    long[] index = new long[1];
    call(h -> mla_gguf_find_tensor(h, tensor, index));
    return index[0];
  }

  private long requireTensor(String tensor) {
    long index = findTensor(tensor);
    if (index < 0) {
      throw new MlaException(Status.NOT_FOUND, name + ": there is no tensor " + tensor);
    }
    return index;
  }

  private GgufTensor tensorAt(long index) {
    int[] type = new int[1];
    int[] dimCount = new int[1];
    long[] dims = new long[4];
    long[] byteSize = new long[1];
    String[] tensor = new String[1];
    call(
        h -> {
          tensor[0] =
              Native.text(
                  NAME_GUESS,
                  (text, capacity, length) ->
                      mla_gguf_tensor_info(
                          h, index, text, capacity, length, type, dimCount, dims, byteSize));
          return 0;
        });
    List<Long> used = new ArrayList<>(dimCount[0]);
    for (int i = 0; i < dimCount[0]; i++) {
      used.add(dims[i]);
    }
    return new GgufTensor(tensor[0], TensorType.ofId(type[0]), used, byteSize[0]);
  }
}
