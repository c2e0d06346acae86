package io.github.mla4j;

/**
 * A generated token.
 *
 * @param text what it adds to the text: whole characters only, so a token that ends inside one has
 *     none of it and the token that completes it has all; control tokens have none
 * @param logProbability of the model's own distribution (temperature 1, no penalties)
 */
public record Token(int id, String text, float logProbability) {}
