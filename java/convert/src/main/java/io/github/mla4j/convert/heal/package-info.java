/**
 * Healing: a converted model learns to say what its source says. Start at {@link
 * io.github.mla4j.convert.heal.Healer}, which runs it; {@code Decoder} and {@code WindowPass} are
 * the model, forward and backward, {@code NextTokenLoss} what is learnt.
 */
package io.github.mla4j.convert.heal;
