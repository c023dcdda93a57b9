/* The API's page: Swagger UI on our own schema. Calls go out as whoever is logged in. */
"use strict";
const place = document.getElementById("api");
const headers = JSON.parse(document.body.getAttribute("hx-headers"));
SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  // A link inside the button that opens an operation cannot be told apart from it by the keyboard or a screen reader.
  deepLinking: false,
  docExpansion: "list",
  validatorUrl: null,
  defaultModelsExpandDepth: -1,
  requestInterceptor: (request) => {
    if (request.method && request.method !== "GET") Object.assign(request.headers, headers);
    return request;
  },
});
