import { defineConfig } from "vite";

// One script under a fixed name: the server's pages refer to it, and the server adds an entity tag.
export default defineConfig({
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    rollupOptions: {
      input: "src/main.ts",
      output: { entryFileNames: "app.js", chunkFileNames: "[name].js", assetFileNames: "[name][extname]" },
    },
  },
});
