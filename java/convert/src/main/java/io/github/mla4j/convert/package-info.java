/**
 * Conversion of MHA/GQA models to latent attention. Start at {@link
 * io.github.mla4j.convert.Converter}.
 */
package io.github.mla4j.convert;
