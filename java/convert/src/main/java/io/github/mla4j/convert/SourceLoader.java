package io.github.mla4j.convert;

import io.github.mla4j.convert.output.LatentModelWriter;
import io.github.mla4j.convert.output.OutputTypes;
import io.github.mla4j.convert.output.PlainModelWriter;
import io.github.mla4j.convert.output.Provenance;
import io.github.mla4j.convert.output.Sha256;
import io.github.mla4j.convert.recipe.PaperModel;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;

/** Brings directories into GGUF form in memory. */
public final class SourceLoader {
  private SourceLoader() {}

  /**
   * A Hugging Face directory, plain or converted by the paper's code, as an open GGUF file that the
   * caller closes.
   *
   * @param type of the weights
   * @throws io.github.mla4j.MlaException if the directory's files are damaged or contradictory
   * @throws IOException if a file cannot be read
   */
  public static Gguf toGguf(Path folder, TensorType type) throws IOException {
    return toGguf(folder, type, Optional.empty());
  }

  /**
   * The same for a checkpoint with a 2-norm choice whose ranks lie elsewhere.
   *
   * @param rankFile empty: found by what the checkpoint's config says
   */
  public static Gguf toGguf(Path folder, TensorType type, Optional<Path> rankFile)
      throws IOException {
    OutputTypes types = new OutputTypes(Optional.of(type));
    try (OpenedSource source = OpenedSource.open(folder, rankFile);
        GgufWriter writer = GgufWriter.inMemory()) {
      if (source instanceof OpenedSource.Paper paper) {
        Provenance provenance =
            new Provenance(
                PaperModel.settingsOf(paper.checkpoint()),
                folder.toAbsolutePath().normalize().getFileName().toString(),
                Sha256.of(source.weightFiles()),
                Optional.empty(),
                Converter.version());
        new LatentModelWriter(new PaperModel(paper.checkpoint()), writer, types)
            .write(source.metadata(), provenance, done -> {});
      } else {
        new PlainModelWriter(((OpenedSource.Plain) source).model(), writer, types)
            .write(source.metadata(), done -> {});
      }
      writer.finish();
      return writer.reader();
    }
  }
}
