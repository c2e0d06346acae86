package io.github.mla4j;

/**
 * What a model is.
 *
 * @param name the file's own name for it, or ""
 * @param architecture as in the file, e.g. llama or mha2mla
 * @param contextLength tokens, as trained
 * @param converted whether it keeps a latent; otherwise plain MHA or GQA
 */
public record ModelInfo(
    String name,
    String architecture,
    int layers,
    int embeddingLength,
    int vocabularySize,
    int contextLength,
    int heads,
    int kvHeads,
    int headLength,
    boolean converted,
    long parameters,
    long weightBytes) {}
