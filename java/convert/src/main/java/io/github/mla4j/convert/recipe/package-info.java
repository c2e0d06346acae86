/** Recipes: how a plain model's attention becomes latent attention. */
package io.github.mla4j.convert.recipe;
