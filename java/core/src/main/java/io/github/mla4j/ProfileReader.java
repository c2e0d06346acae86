package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.mla_operation_name;

import io.github.mla4j.bindings.MlaProfile;
import io.github.mla4j.bindings.MlaProfileRow;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;

/** Reads the profile of whatever keeps one. */
final class ProfileReader {
  private ProfileReader() {}

  interface Whole {
    void readInto(MlaProfile profile);
  }

  interface Part {
    void readInto(int operation, MlaProfileRow row);
  }

  /** Calls both, the second once for every operation; nothing may be profiled meanwhile. */
  static Profile read(Whole whole, Part part) {
    try (MlaProfile profile = new MlaProfile();
        MlaProfileRow row = new MlaProfileRow()) {
      profile.struct_size(profile.sizeof());
      row.struct_size(row.sizeof());
      whole.readInto(profile);
      List<OperationProfile> operations = new ArrayList<>();
      for (int i = 0; ; i++) {
        BytePointer name = mla_operation_name(i);
        if (name == null) {
          break;
        }
        part.readInto(i, row);
        operations.add(
            new OperationProfile(
                name.getString(StandardCharsets.UTF_8),
                row.seconds(),
                row.waiting_seconds(),
                new Work(
                    row.weight_bytes(),
                    row.cache_bytes(),
                    row.float_multiply_adds(),
                    row.integer_multiply_adds())));
      }
      return new Profile(
          profile.threads(), profile.tokens(), profile.steps(), profile.seconds(), operations);
    }
  }
}
